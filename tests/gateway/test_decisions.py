# SPDX-License-Identifier: Apache-2.0
"""Verdict and action are kept apart, and a record shows what is set and no more."""

from __future__ import annotations

from audit_log import leaf_bytes
from gateway.decisions import Action, Decision, Refusal, Verdict


def test_only_what_is_set_is_recorded() -> None:
    """A record without a place says nothing of a place."""
    assert Decision("label", Verdict.PASS, Action.SKIP).as_record() == {
        "duty": "label", "verdict": "pass", "action": "skip",
    }  # fmt: skip


def test_everything_that_is_set_is_recorded_in_words_and_whole_numbers() -> None:
    """Canonical JSON takes nothing else; the first choice and the first character count as set."""
    decision = Decision("f", Verdict.BLOCK, Action.STOP, "term", "A1a", "term:0", 9_500, "answer", 0, "answer", 0, 2)
    assert decision.as_record() == {
        "duty": "f", "verdict": "block", "action": "stop", "reason": "term", "class": "A1a", "rule": "term:0",
        "score_bp": 9_500, "role": "answer", "choice": 0, "channel": "answer", "start": 0, "end": 2,
    }  # fmt: skip
    assert leaf_bytes({"decision": decision.as_record()})


def test_every_word_can_be_a_record() -> None:
    """Verdicts and actions are plain words."""
    for verdict in Verdict:
        for action in Action:
            assert leaf_bytes(Decision("d", verdict, action).as_record())


def test_a_refusal_is_logged_by_its_code_alone() -> None:
    """`str()` of it holds no message."""
    refusal = Refusal(Decision("d", Verdict.BLOCK, Action.REFUSE), status=403, code="curfew", message="words")
    assert str(refusal) == "curfew" and not refusal.in_band and refusal.headers == ()
