# SPDX-License-Identifier: Apache-2.0
"""What people read exists in both languages and names a next step."""

from __future__ import annotations

import pytest

from gateway.language import LANGUAGES
from gateway.messages import MESSAGES
from labeling import language_of


@pytest.mark.parametrize("name", list(MESSAGES))
def test_every_message_is_there_in_every_language(name: str) -> None:
    """And in that language."""
    assert MESSAGES[name].keys() == set(LANGUAGES)
    for language, text in MESSAGES[name].items():
        assert language_of(text) == language


STEPS = {
    "en": ("/duty/complaints", "{appeal}", "Try again", "try again", "Send ", "send ", "Ask "),
    "zh": ("/duty/complaints", "{appeal}", "重试", "请"),
}
STATEMENTS = {"origin_1", "origin_2", "origin_3", "companion_start", "companion_reminder", "companion_dependence",
              "companion_exit", "crisis"}  # fmt: skip
"""What is said about a file, and beside or instead of an answer to somebody whose request did not fail."""


@pytest.mark.parametrize("name", [name for name in MESSAGES if name not in STATEMENTS])
def test_every_message_says_what_to_do_next(name: str) -> None:
    """Try again, change something, ask somebody, or complain; on one line."""
    for language, text in MESSAGES[name].items():
        assert any(step in text for step in STEPS[language])
        assert text.isprintable()
