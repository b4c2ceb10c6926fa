# SPDX-License-Identifier: Apache-2.0
"""The desk from end to end, and as a state machine against a model of the published process."""

import tempfile
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from complaints import (
    CaseStore,
    Category,
    ChinaCalendar,
    ComplaintDesk,
    ComplaintError,
    Conflict,
    Decision,
    DeskPolicy,
    Filed,
    Invalid,
    NotFound,
    NotPermitted,
    State,
    WrongKey,
)
from complaints.case import advance
from complaints.deadlines import WeekdayCalendar
from complaints.store import CaseFilter
from complaints.workflow import RULES, Act, Need, Role

MakeDesk = Callable[[DeskPolicy | None], ComplaintDesk]
Draw = Callable[[int], bytes]


def _answered(desk: ComplaintDesk) -> Filed:
    filed = desk.file("inaccurate", "wrong")
    desk.answer(filed.receipt, "li", "rejected", "It is right.")
    return filed


class TestFiling:
    def test_a_complaint_gets_receipt_secret_due_and_acknowledgement(self, desk: ComplaintDesk) -> None:
        """All that the entrance answers, and two facts for the audit log."""
        filed = desk.file("Privacy", "My address is shown.", contact="me@example.org", tenant="acme", language="en")

        assert filed.due.isoformat() == "2026-10-15T23:59:59+08:00"
        assert filed.state is State.ACKNOWLEDGED
        assert filed.case.category is Category.PRIVACY and filed.case.language == "en"
        assert [fact["event"] for fact in filed.facts] == ["file", "acknowledge"]
        assert desk.status(filed.receipt, filed.secret).state is State.ACKNOWLEDGED

    def test_with_a_time_limit_to_acknowledge_an_officer_does_it(self, make_desk: MakeDesk, policy: DeskPolicy) -> None:
        """Then the complaint waits as received."""
        desk = make_desk(replace(policy, acknowledge_h=2))
        filed = desk.file("other", "words")

        assert filed.state is State.RECEIVED and len(filed.facts) == 1
        assert filed.case.next_due == filed.case.received_at + timedelta(hours=2)
        assert desk.acknowledge(filed.receipt, "li").case.state is State.ACKNOWLEDGED

    @pytest.mark.parametrize(
        ("field", "bad"),
        [
            ("category", {"category": None}),
            ("category", {"category": "weather"}),
            ("text", {"text": None}),
            ("text", {"text": ""}),
            ("text", {"text": "x" * 10_001}),
            ("contact", {"contact": "x" * 201}),
            ("contact", {"contact": {"mail": "x"}}),
            ("record", {"record": "not-a-uuid"}),
            ("tenant", {"tenant": "two words"}),
            ("language", {"language": 3}),
        ],
    )
    def test_bad_input_names_its_field_and_leaves_nothing(
        self, desk: ComplaintDesk, field: str, bad: dict[str, Any]
    ) -> None:
        """One error, no half-filed case."""
        with pytest.raises(Invalid) as caught:
            desk.file(**({"category": "other", "text": "words"} | bad))

        assert caught.value.field == field
        assert desk.list().cases == () and desk.unrecorded() == ()

    def test_the_longest_complaint_is_kept_whole(self, desk: ComplaintDesk) -> None:
        """10,000 characters of any kind, 200 of contact."""
        text, contact = "诉" * 9_999 + "😀", "联" * 200
        filed = desk.file("other", text, contact=contact)
        seen = desk.get(filed.receipt)

        assert (seen.text, seen.contact) == (text, contact)

    def test_a_taken_receipt_is_drawn_again(
        self, store: CaseStore, clock: Callable[[], float], policy: DeskPolicy, randomness: Draw
    ) -> None:
        """Two complaints never share a number, even where randomness repeats; broken randomness is reported."""
        repeats = [bytes(11), bytes(11), bytes([1] * 11)]

        def draw(count: int) -> bytes:
            return repeats.pop(0) if count == 11 and repeats else randomness(count)

        desk = ComplaintDesk(store, clock, policy, bytes(range(32)), draw)
        first, second = desk.file("other", "one"), desk.file("other", "two")

        assert first.receipt == "0000-0000-0000" != second.receipt
        assert desk.get(second.receipt).text == "two"
        repeats += [bytes(11)] * 9
        with pytest.raises(Conflict, match="randomness"):
            desk.file("other", "three")


class TestReceipt:
    def test_only_receipt_and_secret_together_open_a_case(self, desk: ComplaintDesk) -> None:
        """A wrong secret, a wrong receipt and nonsense give one and the same error, for every act of the public."""
        filed, other = desk.file("other", "one"), desk.file("other", "two")
        messages = set()
        for receipt, secret in [
            (filed.receipt, other.secret),
            (other.receipt, filed.secret),
            ("0000-0000-0000", filed.secret),
            ("", filed.secret),
            (filed.receipt, ""),
            (None, None),
            (filed.case.id, filed.secret),
        ]:
            for act in (desk.status, desk.withdraw, lambda r, s: desk.appeal(r, s, "grounds")):
                with pytest.raises(NotFound) as caught:
                    act(receipt, secret)
                messages.add(str(caught.value))

        assert len(messages) == 1
        assert desk.get(filed.receipt).case.state is State.ACKNOWLEDGED

    def test_a_receipt_typed_carelessly_opens(self, desk: ComplaintDesk) -> None:
        """Lower case, spaces, no joints."""
        filed = desk.file("other", "words")

        assert (
            desk.status(filed.receipt.lower().replace("-", " "), filed.secret.replace("-", "")).receipt == filed.receipt
        )

    def test_an_officer_finds_a_case_by_receipt_or_id(self, desk: ComplaintDesk) -> None:
        """The id is what the audit log names."""
        filed = desk.file("other", "words")

        assert desk.get(filed.case.id).case == desk.get(filed.receipt.lower()).case
        for unknown in ("0190a0b0-0000-7000-8000-000000000000", "0000-0000-0000", "x", "", None):
            with pytest.raises(NotFound):
                desk.get(unknown)


class TestMoves:
    def test_an_answer_from_the_queue_takes_the_case_on_the_way(self, make_desk: MakeDesk, policy: DeskPolicy) -> None:
        """One call, one transaction, and every step is in the history."""
        desk = make_desk(replace(policy, acknowledge_h=2))
        filed = desk.file("other", "words")
        move = desk.answer(filed.receipt, "li", Decision.PARTLY_UPHELD, "Half of it.")

        assert [fact["event"] for fact in move.facts] == ["acknowledge", "take", "answer"]
        assert (move.case.state, move.case.holder, move.case.version) == (State.ANSWERED, "li", 4)

    def test_an_appeal_is_answered_by_another_officer(self, desk: ComplaintDesk) -> None:
        """The first one is refused, even after the case went back to the queue, and no second appeal exists."""
        filed = _answered(desk)
        appealed = desk.appeal(filed.receipt, filed.secret, "It is wrong, see page 3.").case
        with pytest.raises(NotPermitted):
            desk.answer(filed.receipt, "li", "rejected", "Still right.")
        desk.take(filed.receipt, "wang")
        desk.release(filed.receipt, "wang", "ill")
        with pytest.raises(NotPermitted):
            desk.take(filed.receipt, "li")
        final = desk.answer(filed.receipt, "zhao", "upheld", "It was wrong.").case
        view = desk.status(filed.receipt, filed.secret)

        assert appealed.started_at == appealed.updated_at and appealed.holder is None
        assert final.state is State.ANSWERED
        assert [answer.decision for answer in view.answers] == [Decision.REJECTED, Decision.UPHELD]
        assert view.answer is not None and view.answer.text == "It was wrong."
        assert not view.may_appeal
        with pytest.raises(Conflict):
            desk.appeal(filed.receipt, filed.secret, "again")

    def test_an_appeal_after_its_time_comes_too_late(self, desk: ComplaintDesk, clock: Any) -> None:
        """To the second: the last one counts, the next one does not; before that no one can close the case."""
        filed = _answered(desk)
        until = desk.get(filed.receipt).case.appeal_until
        assert until is not None
        clock.moment = until
        with pytest.raises(Conflict):
            desk.close(filed.receipt, "li")
        assert desk.status(filed.receipt, filed.secret).may_appeal
        clock.move(seconds=1)

        with pytest.raises(Conflict):
            desk.appeal(filed.receipt, filed.secret, "late")
        assert desk.close(filed.receipt, "li").case.state is State.CLOSED

    def test_a_reopened_case_keeps_its_identity(self, desk: ComplaintDesk, clock: Any) -> None:
        """Same receipt, secret, id and history; a new time limit."""
        filed = _answered(desk)
        clock.move(days=60)
        desk.close(filed.receipt, "li")
        reopened = desk.reopen(filed.receipt, "wang", "new facts").case
        view = desk.status(filed.receipt, filed.secret)

        assert (reopened.id, reopened.received_at) == (filed.case.id, filed.case.received_at)
        assert reopened.state is State.ACKNOWLEDGED and reopened.due > filed.due
        assert [step.act for step in view.history][-2:] == [Act.CLOSE, Act.REOPEN]

    def test_an_officer_who_saw_an_older_version_is_stopped(self, desk: ComplaintDesk) -> None:
        """No decision on a case that has moved on unseen."""
        filed = desk.file("other", "words")
        seen = desk.get(filed.receipt).case.version
        desk.take(filed.receipt, "li", version=seen)

        with pytest.raises(Conflict):
            desk.answer(filed.receipt, "li", "upheld", "done", version=seen)
        assert desk.answer(filed.receipt, "li", "upheld", "done", version=seen + 1).case.state is State.ANSWERED

    def test_a_withdrawn_case_goes_no_further(self, desk: ComplaintDesk) -> None:
        """Until an officer reopens it with a reason."""
        filed = desk.file("other", "words")
        desk.withdraw(filed.receipt, filed.secret)

        with pytest.raises(Conflict):
            desk.withdraw(filed.receipt, filed.secret)
        with pytest.raises(Conflict):
            desk.take(filed.receipt, "li")
        with pytest.raises(Conflict):
            desk.answer(filed.receipt, "li", "upheld", "x")
        with pytest.raises(Invalid, match="reason"):
            desk.reopen(filed.receipt, "li", "")
        assert desk.reopen(filed.receipt, "li", "concerns minors").case.state is State.ACKNOWLEDGED

    def test_a_clock_set_back_does_not_turn_history_around(self, desk: ComplaintDesk, clock: Any) -> None:
        """Times of a case never decrease."""
        filed = desk.file("other", "words")
        clock.move(days=-3)
        move = desk.take(filed.receipt, "li")

        assert move.case.updated_at == filed.case.received_at


class TestQueue:
    def test_pages_hold_every_case_once_oldest_first(self, desk: ComplaintDesk, clock: Any) -> None:
        """Also where many came at the same moment."""
        ids = []
        for n in range(11):
            ids.append(desk.file("other", f"words {n}").case.id)
            if n % 3 == 0:
                clock.move(seconds=1)
        seen, cursor = [], None
        while True:
            page = desk.list(cursor=cursor, limit=4)
            assert 1 <= len(page.cases) <= 4
            seen += list(page.cases)
            if (cursor := page.next_cursor) is None:
                break

        assert sorted(case.id for case in seen) == sorted(ids)
        assert [case.received_at for case in seen] == sorted(case.received_at for case in seen)

    def test_the_queue_can_be_narrowed(self, desk: ComplaintDesk, clock: Any) -> None:
        """By state, lateness, category and tenant, alone and together."""
        late = desk.file("privacy", "one", tenant="acme").case.id
        clock.move(hours=25)
        fresh = desk.file("minors", "two", tenant="acme").case.id
        done = _answered(desk).case.id

        def ids(**narrowed: Any) -> set[str]:
            return {case.id for case in desk.list(**narrowed).cases}

        assert ids() == {late, fresh, done}
        assert ids(overdue=True) == {late}
        assert ids(overdue=False) == {fresh, done}
        assert ids(state="Answered") == {done}
        assert ids(category="MINORS", tenant="acme") == {fresh}
        assert ids(tenant="acme") == {late, fresh}
        assert ids(state="closed") == ids(tenant="other") == set()

    @pytest.mark.parametrize(
        "bad",
        [
            {"state": "lost"},
            {"category": "weather"},
            {"tenant": "a b"},
            {"limit": 0},
            {"limit": 201},
            {"cursor": ""},
            {"cursor": "???"},
            {"cursor": "YWJj"},
            {"cursor": "A"},
            {"cursor": "é"},
            {"cursor": 5},
        ],
    )
    def test_a_bad_question_is_invalid(self, desk: ComplaintDesk, bad: dict[str, Any]) -> None:
        """Never a database error."""
        with pytest.raises(Invalid) as caught:
            desk.list(**bad)

        assert caught.value.field == next(iter(bad))

    def test_counts_feed_the_gauges(self, desk: ComplaintDesk, clock: Any) -> None:
        """Every state has a figure; late cases and waiting facts are counted."""
        desk.file("other", "one")
        clock.move(hours=25)
        _answered(desk)
        counts = desk.counts()

        assert counts.by_state == {state: 0 for state in State} | {State.ACKNOWLEDGED: 1, State.ANSWERED: 1}
        assert (counts.overdue, counts.unrecorded) == (1, 6)


class TestSystem:
    def test_answered_cases_are_closed_when_their_appeal_is_over(self, desk: ComplaintDesk, clock: Any) -> None:
        """Not before, and each once, with its fact."""
        filed = _answered(desk)
        assert desk.close_lapsed() == ()
        clock.move(days=60)
        (move,) = desk.close_lapsed()

        assert (move.case.id, move.case.state) == (filed.case.id, State.CLOSED)
        assert [(fact["event"], fact["role"]) for fact in move.facts] == [("close", "system")]
        assert desk.close_lapsed() == ()

    def test_deadlines_follow_a_newer_calendar(
        self, make_desk: MakeDesk, store: CaseStore, policy: DeskPolicy, clock: Any
    ) -> None:
        """Views at once, the stored figures behind the queue after a refresh, finished cases never."""
        desk = make_desk(None)
        filed = desk.file("other", "words")
        desk.take(filed.receipt, "li")
        withdrawn = desk.file("other", "words")
        desk.withdraw(withdrawn.receipt, withdrawn.secret)
        later = frozenset({date(2026, 10, 15)})
        newer = make_desk(replace(policy, calendar=ChinaCalendar(holidays=later)))
        clock.moment = filed.due + timedelta(seconds=1)

        assert newer.status(filed.receipt, filed.secret).due.date() == date(2026, 10, 16)
        assert len(store.page(CaseFilter(is_overdue=True, overdue_at=newer.now()), None, 9)) == 1
        assert newer.refresh_deadlines() == 1
        assert newer.refresh_deadlines() == 0
        assert newer.list(overdue=True).cases == ()

    def test_facts_wait_until_they_are_marked(self, desk: ComplaintDesk, clock: Any) -> None:
        """A failed audit log loses nothing: what waits comes in order, and what is under way is left alone."""
        filed = desk.file("other", "words")
        clock.move(seconds=30)
        move = desk.take(filed.receipt, "li")
        desk.mark_recorded(filed.facts[0], "leaf-1")

        assert desk.unrecorded() == (filed.facts[1], *move.facts)
        assert desk.unrecorded(older_than_s=10) == (filed.facts[1],)
        assert desk.unrecorded(limit=1) == (filed.facts[1],)
        clock.move(days=-1)
        assert len(desk.unrecorded()) == 2
        for fact in desk.unrecorded():
            desk.mark_recorded(fact, "leaf")
        assert desk.unrecorded() == ()

    @pytest.mark.parametrize("fact", [{}, {"case": 1, "seq": 1}, {"case": "x", "seq": "1"}])
    def test_a_foreign_fact_is_refused(self, desk: ComplaintDesk, fact: dict[str, object]) -> None:
        """Only facts of this desk can be marked."""
        with pytest.raises(Invalid, match="fact"):
            desk.mark_recorded(fact, "leaf")
        with pytest.raises(NotFound):
            desk.mark_recorded({"case": "x", "seq": 1}, "leaf")

    def test_another_key_cannot_open_the_desk(
        self, desk: ComplaintDesk, store: CaseStore, clock: Any, policy: DeskPolicy
    ) -> None:
        """At start, before anything is sealed with it."""
        with pytest.raises(WrongKey):
            ComplaintDesk(store, clock, policy, bytes(32))

    def test_the_process_page_comes_from_the_same_policy(self, desk: ComplaintDesk) -> None:
        """The desk publishes what it works by."""
        assert desk.process("zh").answer_working_days == 15


class DeskMachine(RuleBasedStateMachine):
    """Officers, complainant and clock do anything in any order; the table of `workflow` decides, and is obeyed."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_789_704_000.0
        self.folder = tempfile.TemporaryDirectory()
        self.store = CaseStore.open(Path(self.folder.name) / "cases.sqlite")
        policy = DeskPolicy(3, 24, 1, 2, 2, ZoneInfo("Asia/Shanghai"), WeekdayCalendar())
        self.desk = ComplaintDesk(self.store, lambda: self.now, policy, bytes(32))

    @initialize()
    def file(self) -> None:
        self.filed = self.desk.file("other", "words")
        self.known: tuple[object, ...] = ()
        self.facts = list(self.filed.facts)

    @rule(hours=st.sampled_from([0, 1, 30, 24 * 7]))
    def wait(self, hours: int) -> None:
        self.now += hours * 3600

    @rule(act=st.sampled_from([act for act in Act if act is not Act.FILE]), officer=st.sampled_from("abc"))
    def attempt(self, act: Act, officer: str) -> None:
        receipt, secret = self.filed.receipt, self.filed.secret
        moves: dict[Act, Callable[[], Any]] = {
            Act.ACKNOWLEDGE: lambda: self.desk.acknowledge(receipt, officer),
            Act.TAKE: lambda: self.desk.take(receipt, officer),
            Act.RELEASE: lambda: self.desk.release(receipt, officer, "reason"),
            Act.ANSWER: lambda: self.desk.answer(receipt, officer, "rejected", "because"),
            Act.APPEAL: lambda: self.desk.appeal(receipt, secret, "grounds"),
            Act.WITHDRAW: lambda: self.desk.withdraw(receipt, secret),
            Act.CLOSE: lambda: self.desk.close(receipt, officer),
            Act.REOPEN: lambda: self.desk.reopen(receipt, officer, "reason"),
        }
        before = self.desk.get(receipt, officer)
        public = self.desk.status(receipt, secret)
        offered = set(before.permitted)
        offered |= ({Act.APPEAL} if public.may_appeal else set()) | ({Act.WITHDRAW} if public.may_withdraw else set())
        try:
            move = moves[act]()
        except ComplaintError:
            # Refused: it was not offered, and nothing changed.
            assert act not in offered
            assert self.desk.get(receipt, officer) == before
            return
        self.facts += move.facts
        # Done: it was offered, or it is an answer that takes the case on the way.
        assert act in offered or (act is Act.ANSWER and before.case.state is not State.IN_REVIEW)
        assert move.case == self.desk.get(receipt).case

    @rule()
    def sweep(self) -> None:
        was_open = self.desk.status(self.filed.receipt, self.filed.secret).may_appeal
        for move in self.desk.close_lapsed():
            assert not was_open
            self.facts += move.facts

    @precondition(lambda self: len(self.facts) > 3)
    @rule()
    def refresh(self) -> None:
        assert self.desk.refresh_deadlines() == 0

    @invariant()
    def history_is_append_only_and_follows_the_table(self) -> None:
        if not hasattr(self, "filed"):
            return
        stored = self.store.load(receipt=self.filed.receipt)
        assert stored is not None
        history = stored.history
        assert history[: len(self.known)] == self.known
        self.known = history
        assert [event.seq for event in history] == list(range(1, len(history) + 1)) and len(
            history
        ) == stored.case.version
        deciders: set[str | None] = set()
        is_appealed = False
        for event, follower in zip(history, (*history[1:], None), strict=True):
            table_row = next(row for row in RULES if row.act is event.act)
            assert event.origin in table_row.origins and event.state is table_row.to and event.role in table_row.who
            assert (event.sealed_sha256 is not None) is (Need.TEXT in table_row.needs)
            assert follower is None or (follower.origin is event.state and follower.at >= event.at)
            if event.act is Act.TAKE and is_appealed:
                assert event.actor not in deciders
            if event.act is Act.ANSWER:
                deciders.add(event.actor)
                is_appealed = False
            is_appealed = is_appealed or event.act is Act.APPEAL
            assert (event.actor is not None) is (event.role is Role.OFFICER)

    @invariant()
    def the_case_is_the_sum_of_its_events_and_no_fact_is_lost(self) -> None:
        if not hasattr(self, "filed"):
            return
        case = replace(self.filed.case, version=0, state=State.RECEIVED)
        for event in self.known:
            case = advance(case, event)  # type: ignore[arg-type]
        stored = self.store.load(receipt=self.filed.receipt)
        assert stored is not None
        derived = {
            "due": stored.case.due,
            "is_due_certain": stored.case.is_due_certain,
            "next_due": stored.case.next_due,
            "appeal_until": stored.case.appeal_until,
        }
        assert replace(case, **derived) == stored.case  # type: ignore[arg-type]
        assert list(self.desk.unrecorded(10_000)) == self.facts

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()


TestDeskMachine = DeskMachine.TestCase
TestDeskMachine.settings = settings(
    max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
