# SPDX-License-Identifier: Apache-2.0
"""Legal holds: two people of two roles, protection from the first word to the last, and all of it in the log."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audit_log import AuditLog, Entry, IndexRow, new_record_id
from audit_log.holds import (
    Approval,
    Hold,
    HoldRefused,
    HoldScope,
    HoldState,
    all_holds,
    holds_in_force,
    propose_hold,
    step_hold,
)

LEGAL = Approval("anna", "legal")
OFFICER = Approval("bert", "officer")


@pytest.fixture
def log(home: Path) -> Iterator[AuditLog]:
    opened = AuditLog.open(home, writer="desk", clock=lambda: 1.8e9)
    yield opened
    opened.close()


def row(**fields: object) -> IndexRow:
    base = IndexRow("i", None, "exchange", 1_000, "t", "p", None, None, False)
    return base._replace(**fields)  # type: ignore[arg-type]


def test_a_hold_is_placed_and_lifted_by_two_people_of_two_roles(log: AuditLog) -> None:
    """It protects at once and until the second person agrees to lift."""
    hold = propose_hold(log, HoldScope(subject="p"), "case-7", LEGAL)
    assert (hold.state, hold.protects) == (HoldState.PROPOSED, True)
    for wrong in (LEGAL, Approval("carl", "legal"), Approval("anna", "officer")):
        with pytest.raises(HoldRefused, match="second person"):
            step_hold(log, hold.id, "approve", wrong)
    hold = step_hold(log, hold.id, "approve", OFFICER)
    assert (hold.state, hold.approvals) == (HoldState.PLACED, (LEGAL, OFFICER))

    hold = step_hold(log, hold.id, "lift", LEGAL)
    assert (hold.state, hold.protects) == (HoldState.LIFT_PROPOSED, True)
    with pytest.raises(HoldRefused):
        step_hold(log, hold.id, "approve", LEGAL)
    assert step_hold(log, hold.id, "keep", OFFICER).state is HoldState.PLACED
    step_hold(log, hold.id, "lift", OFFICER)
    hold = step_hold(log, hold.id, "approve", LEGAL)
    assert (hold.state, hold.protects) == (HoldState.LIFTED, False)
    assert holds_in_force(log.store) == []
    assert [json.loads(json.dumps(one.as_json()))["state"] for one in all_holds(log.store)] == ["lifted"]


@pytest.mark.parametrize(
    ("steps", "event"),
    [((), "keep"), (("approve",), "approve"), (("approve",), "keep"), (("lift",), "lift"), ((), "burn")],
)
def test_a_step_out_of_turn_is_refused_and_not_recorded(log: AuditLog, steps: tuple[str, ...], event: str) -> None:
    """The state stays what it was."""
    hold = propose_hold(log, HoldScope(tenant="t"), "case-7", LEGAL)
    for step in steps:
        hold = step_hold(log, hold.id, step, OFFICER)
    size = log.store.next_index()

    with pytest.raises(HoldRefused):
        step_hold(log, hold.id, event, Approval("third", "admin"))
    assert (log.store.next_index(), all_holds(log.store)[0].state) == (size, hold.state)


def test_a_leaf_of_a_hold_names_nobody(log: AuditLog) -> None:
    """The pseudonym lies in the search index, where the hold reads it."""
    hold = propose_hold(log, HoldScope(tenant="t", subject="pseudonym-1", since_us=1, until_us=2), "case-7", LEGAL)

    leaf = next(log.store.leaves(hold.index, hold.index + 1))
    assert b"pseudonym-1" not in leaf
    assert hold.scope == HoldScope("t", "pseudonym-1", None, 1, 2)


def test_a_step_that_was_recorded_by_hand_has_no_effect(log: AuditLog) -> None:
    """Whoever can append still needs the second person."""
    hold = propose_hold(log, HoldScope(), "case-7", LEGAL)
    for fields in (
        {"event": "approve", "by": "anna", "role": "legal"},
        {"event": "lift", "by": "anna"},
        {"event": "lift", "by": "x", "role": "y", "hold": "nothing"},
        {"event": "propose", "by": "", "role": "y"},
    ):
        log.append_blocking(Entry({"id": new_record_id(), "type": "hold", "hold": hold.id, **fields}))

    assert [(one.id, one.state) for one in all_holds(log.store)] == [(hold.id, HoldState.PROPOSED)]


def test_words_that_are_no_references_are_refused(log: AuditLog) -> None:
    """Texts about people do not belong in a leaf."""
    with pytest.raises(HoldRefused):
        propose_hold(log, HoldScope(), "because of Ms Wang", LEGAL)
    with pytest.raises(HoldRefused):
        Approval("Ms Wang", "legal")
    with pytest.raises(HoldRefused):
        step_hold(log, new_record_id(), "lift", LEGAL)


def test_a_hold_whose_pseudonym_is_gone_holds_more_and_not_less(log: AuditLog) -> None:
    """Should the search index have lost it, the tenant's records stay."""
    propose_hold(log, HoldScope(tenant="t", subject="p"), "case-7", LEGAL)
    log.store.destroy_subject("t", "p")

    [hold] = holds_in_force(log.store)
    assert hold.scope == HoldScope(tenant="t")


@pytest.mark.parametrize(
    ("scope", "covered"),
    [
        (HoldScope(), True),
        (HoldScope(tenant="t", subject="p"), True),
        (HoldScope(tenant="u"), False),
        (HoldScope(subject="q"), False),
        (HoldScope(exchange="i"), True),
        (HoldScope(exchange="j"), False),
        (HoldScope(since_us=1_000, until_us=1_001), True),
        (HoldScope(since_us=1_001), False),
        (HoldScope(until_us=1_000), False),
    ],
)
def test_a_scope_covers_what_it_names(scope: HoldScope, covered: bool) -> None:
    """Absent means any; times are from, included, to, excluded."""
    assert scope.covers(row()) is covered


def test_the_first_record_under_a_hold_is_found(log: AuditLog) -> None:
    """By subject as by exchange; None where there is none."""
    id_ = new_record_id()
    log.append_blocking(Entry({"id": new_record_id(), "type": "exchange"}, "p"))
    index = log.append_blocking(Entry({"id": id_, "type": "exchange"}, "q"))

    assert HoldScope(subject="q").first_index(log.store) == index
    assert HoldScope(exchange=id_).first_index(log.store) == index
    assert HoldScope(exchange=id_, subject="p").first_index(log.store) is None
    assert HoldScope(subject="nobody").first_index(log.store) is None


@given(st.lists(st.tuples(st.sampled_from(["approve", "lift", "keep"]), st.sampled_from("abc")), max_size=8))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
def test_no_one_person_can_ever_lift_a_hold(log: AuditLog, steps: list[tuple[str, str]]) -> None:
    """Whatever is tried, a lifted hold was proposed to be lifted by one and agreed to by another."""
    hold: Hold = propose_hold(log, HoldScope(), "case-7", Approval("a", "role-a"))
    lifter = None
    for event, who in steps:
        try:
            hold = step_hold(log, hold.id, event, Approval(who, f"role-{who}"))
        except HoldRefused:
            continue
        if event == "lift":
            lifter = who
        if hold.state is HoldState.LIFTED:
            assert lifter not in (None, who)
            return
    assert hold.protects
