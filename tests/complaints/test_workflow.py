# SPDX-License-Identifier: Apache-2.0
"""The rules of a case, each on its own; `test_desk` runs them as a state machine."""

from datetime import UTC, datetime, timedelta
from itertools import product

import pytest

from complaints.errors import Conflict, Invalid, NotPermitted
from complaints.workflow import (
    RULE_OF,
    RULES,
    Act,
    Attempt,
    Decision,
    Need,
    Role,
    Situation,
    State,
    next_state,
    permitted,
)

NOW = datetime(2026, 9, 18, tzinfo=UTC)
LATER = NOW + timedelta(days=1)

# The table once more, by hand: (act, from, to, who). A change of the rules has to be made twice, knowingly.
EXPECTED = {
    ("file", None, "received", "public"),
    ("acknowledge", "received", "acknowledged", "officer"),
    ("acknowledge", "received", "acknowledged", "system"),
    ("take", "acknowledged", "in_review", "officer"),
    ("take", "appealed", "in_review", "officer"),
    ("release", "in_review", "acknowledged", "officer"),
    ("answer", "in_review", "answered", "officer"),
    ("appeal", "answered", "appealed", "public"),
    ("withdraw", "received", "withdrawn", "public"),
    ("withdraw", "acknowledged", "withdrawn", "public"),
    ("withdraw", "in_review", "withdrawn", "public"),
    ("withdraw", "appealed", "withdrawn", "public"),
    ("close", "answered", "closed", "officer"),
    ("close", "answered", "closed", "system"),
    ("reopen", "closed", "acknowledged", "officer"),
    ("reopen", "withdrawn", "acknowledged", "officer"),
}


def test_only_the_transitions_of_the_table_exist() -> None:
    """Every act from every state by every role, all needs met: exactly the expected ones lead anywhere."""
    origins: tuple[State | None, ...] = (None, *State)
    led = set()
    for act, origin, role in product(Act, origins, Role):
        is_appeal = act is Act.APPEAL
        situation = Situation(origin, "li", appeal_until=LATER if is_appeal else None, appeals_left=int(is_appeal))
        attempt = Attempt(act, role, NOW, "li", has_text=True, decision=Decision.UPHELD)
        try:
            to = next_state(situation, attempt)
        except (NotPermitted, Conflict):
            continue
        led.add((act.key, None if origin is None else origin.key, to.key, role.key))

    assert led == EXPECTED


def test_each_act_has_one_rule() -> None:
    """The table is complete and says nothing twice."""
    assert [rule.act for rule in RULES] == list(Act)
    assert len(RULE_OF) == len(RULES)


def test_every_state_is_reached_and_none_is_a_trap() -> None:
    """No case can be stuck: each state has a way in and a way on."""
    assert {rule.to for rule in RULES} == set(State)
    assert {origin for rule in RULES for origin in rule.origins} == {None, *State}


@pytest.mark.parametrize("act", [act for act in Act if Need.TEXT in RULE_OF[act].needs])
def test_acts_that_need_words_refuse_to_go_without(act: Act) -> None:
    """No answer, appeal, release or reopening without its reason."""
    rule = RULE_OF[act]
    situation = Situation(rule.origins[0], "li", appeal_until=LATER, appeals_left=1)

    with pytest.raises(Invalid) as caught:
        next_state(situation, Attempt(act, rule.who[0], NOW, "li", has_text=False, decision=Decision.UPHELD))

    assert caught.value.field == "text"


def test_an_answer_needs_a_decision_and_its_holder() -> None:
    """Only who took the case decides it, and only with a decision."""
    situation = Situation(State.IN_REVIEW, "li")

    with pytest.raises(Invalid, match="decision"):
        next_state(situation, Attempt(Act.ANSWER, Role.OFFICER, NOW, "li", has_text=True))
    for stranger in ("wang", None):
        with pytest.raises(NotPermitted):
            next_state(situation, Attempt(Act.ANSWER, Role.OFFICER, NOW, stranger, True, Decision.UPHELD))


def test_an_appeal_goes_to_someone_else() -> None:
    """Who decided may not review the appeal."""
    situation = Situation(State.APPEALED, None, involved=frozenset({"li"}))

    with pytest.raises(NotPermitted):
        next_state(situation, Attempt(Act.TAKE, Role.OFFICER, NOW, "li"))
    assert next_state(situation, Attempt(Act.TAKE, Role.OFFICER, NOW, "wang")) is State.IN_REVIEW


@pytest.mark.parametrize(
    ("until", "left", "is_open"),
    [
        (NOW, 1, True),
        (LATER, 1, True),
        (NOW - timedelta(milliseconds=1), 1, False),
        (LATER, 0, False),
        (None, 1, False),
    ],
)
def test_an_answer_is_either_appealable_or_closable(until: datetime | None, left: int, is_open: bool) -> None:
    """Closing can never cut an appeal short, and nothing stays open for ever."""
    situation = Situation(State.ANSWERED, "li", appeal_until=until, appeals_left=left)

    assert (Act.APPEAL in permitted(situation, Role.PUBLIC, None, NOW)) is is_open
    assert (Act.CLOSE in permitted(situation, Role.OFFICER, "li", NOW)) is not is_open
    assert (Act.CLOSE in permitted(situation, Role.SYSTEM, None, NOW)) is not is_open


def test_the_role_is_judged_before_the_state() -> None:
    """Who may not do a thing at all learns nothing about the case."""
    with pytest.raises(NotPermitted):
        next_state(Situation(State.CLOSED), Attempt(Act.ANSWER, Role.PUBLIC, NOW))
