# SPDX-License-Identifier: Apache-2.0
"""Measures against people: the ladder, what each step does, and that it is recorded and can be lifted."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit_log import LogUnavailable
from gateway.decisions import Action, Decision, Refusal, Verdict
from gateway.exchange import Exchange, Outcome, Person, Prompt
from gateway.measures import Ladder, Measure, MeasureError, Measures, Step, Strikes, highest_step, measure_of
from gateway.own_records import OwnRecords
from gateway.pipeline import Side
from gateway.policies import load
from gateway.standing import Standing
from gateway.state import MemoryOrders, MemoryState, Order, StateUnavailable
from tests.gateway import rooms
from tests.gateway.rooms import NOW, Rooms, settle, stage
from tests.gateway.wires.driver import TERM

POLICY = load(["cn"])
LADDER = Ladder.of(POLICY)
DAY_S = 86_400
WHO = Person(tenant="default", subject="p1", is_signed=True)


def exchange(number: int = 1, **prompt: Any) -> Exchange:
    """An exchange of the known person."""
    fields = {"model": "m", "stream": False, "texts": [], "body": {}, **prompt}
    return Exchange(f"r{number}", NOW, "openai_chat", "/", person=WHO, model="m", prompt=Prompt(**fields))


def refusal(class_: str = "A1a", duty: str = "content_filter") -> Refusal:
    """A prompt that was refused."""
    decision = Decision(duty, Verdict.BLOCK, Action.REFUSE, reason="term", class_=class_)
    return Refusal(decision, status=400, code="content_filter", message="No.", in_band=True)


class House:
    """Measures over memory, with a clock that moves when told."""

    def __init__(self, **options: Any) -> None:
        self.now = NOW
        self.is_log_away = False
        self.kept: list[dict[str, Any]] = []
        clock = lambda: self.now  # noqa: E731
        self.standing = Standing(MemoryOrders(clock), clock, poll_s=60.0, stale_after_s=1e9, monotonic=clock)
        self.measures = Measures(
            self.standing,
            MemoryState(clock),
            LADDER,
            OwnRecords(self.record, self.standing),
            **{
                "zone": ZoneInfo("Asia/Shanghai"),
                "entropy": lambda count: len(self.kept).to_bytes(count, "big"),
                "appeal_url": "https://ai.example.com/duty/complaints",
                "automatic_up_to": Step.TERMINATE,
                "counts_answers": True,
                **options,
            },
        )

    async def record(self, fields: Any) -> str:
        """Keep a record."""
        if self.is_log_away:
            raise LogUnavailable("the disk is away")
        self.kept.append(dict(fields))
        return f"rec{len(self.kept)}"

    async def violate(self, number: int = 1) -> Refusal:
        """The person asks for what is not allowed."""
        said = refusal()
        await self.measures.refused(exchange(number), said)
        return said

    async def behave(self) -> None:
        """The person asks for something harmless."""
        done = exchange()
        done.outcome = Outcome.COMPLETED
        await self.measures.ended(done)

    @property
    def step(self) -> Step | None:
        """What is in force."""
        found = self.measures.of("default", "p1")
        return None if found is None else found.step


def run(scene: Callable[[House], Awaitable[Any]], **options: Any) -> Any:
    """A scene in a loop of its own."""

    async def whole() -> Any:
        house = House(**options)
        try:
            return await scene(house)
        finally:
            await house.standing.close()

    return asyncio.run(whole())


def test_the_ladder_goes_up_step_by_step_with_its_evidence() -> None:
    """Warned at the first, restricted by the day's number, suspended in a row; each a record with what led to it."""

    async def scene(house: House) -> None:
        said = await house.violate(1)
        assert house.step is Step.WARN
        assert said.message.startswith("No.\n") and "https://ai.example.com/duty/complaints" in said.message
        await house.violate(2)
        assert house.step is Step.WARN
        await house.violate(3)
        assert house.step is Step.SUSPEND
        assert [(item["step"], item["actor"], item["evidence"]) for item in house.kept] == [
            ("warn", "ladder", ["r1"]),
            ("suspend", "ladder", ["r1", "r2", "r3"]),
        ]
        assert {item["type"] for item in house.kept} == {"measure"}
        assert house.kept[0]["subject"] == "p1" and house.kept[0]["sealed"] == {"reason": "ladder: A1a"}
        hours = POLICY.number("sanctions.suspend_hours")
        assert house.kept[1]["expires_s"] == int(NOW + hours * 3_600)
        house.now += hours * 3_600
        assert house.step is None

    run(scene)


def test_a_harmless_request_ends_the_row_but_not_the_day() -> None:
    """Three that are not in a row restrict; five in a day suspend; the next day counts anew."""

    async def scene(house: House) -> None:
        steps = []
        for number in range(5):
            await house.violate(number)
            await house.behave()
            steps.append(house.step)
        assert steps == [Step.WARN, Step.WARN, Step.RESTRICT, Step.RESTRICT, Step.SUSPEND]

    async def next_day(house: House) -> None:
        for number in range(4):
            await house.violate(number)
            await house.behave()
        house.now += 2 * DAY_S
        await house.violate(9)
        assert house.step is Step.WARN

    run(scene)
    run(next_day)


def test_suspensions_are_remembered_until_service_ends() -> None:
    """The third within the time of memory ends it; nobody is suspended for ever without that."""

    async def scene(house: House) -> None:
        ends = int(POLICY.number("sanctions.suspensions_before_end"))
        for round_ in range(ends):
            for number in range(3):
                await house.violate(number)
            assert house.step is (Step.TERMINATE if round_ == ends - 1 else Step.SUSPEND)
            house.now += 25 * 3_600
        house.now += 1_000 * DAY_S
        assert house.step is Step.TERMINATE

    async def long_ago(house: House) -> None:
        for _ in range(4):
            for number in range(3):
                await house.violate(number)
            assert house.step is Step.SUSPEND
            house.now += (POLICY.number("sanctions.suspension_memory_days") + 1) * DAY_S

    run(scene)
    run(long_ago)


@pytest.mark.parametrize(("up_to", "reached"), [("none", None), ("warn", Step.WARN), ("restrict", Step.RESTRICT)])
def test_the_ladder_goes_no_higher_than_the_settings_allow(up_to: str, reached: Step | None) -> None:
    """Higher steps are people's."""

    async def scene(house: House) -> None:
        for number in range(6):
            await house.violate(number)
        assert house.step is reached

    run(scene, automatic_up_to=highest_step(up_to))


def test_only_illegal_content_of_a_known_person_counts() -> None:
    """Strangers are not punished together; a curfew, a pause and a mask are no violations."""

    async def scene(house: House) -> None:
        for said in (refusal(""), refusal("A1a", "minors"), refusal("unheard")):
            await house.measures.refused(exchange(), said)
        stranger = exchange()
        stranger.person = Person()
        await house.measures.refused(stranger, refusal())
        await house.measures.ended(stranger)
        assert house.step is None and house.kept == []

    run(scene)


@pytest.mark.parametrize("counts", [True, False])
def test_stopped_answers_count_where_the_settings_say_so(counts: bool) -> None:
    """Whoever brings a model to say what is not allowed."""

    async def scene(house: House) -> None:
        stopped = exchange()
        stopped.outcome = Outcome.STOPPED
        stopped.decide(Decision("content_filter", Verdict.BLOCK, Action.STOP, class_="A1a"))
        await house.measures.ended(stopped)
        assert house.step is (Step.WARN if counts else None)

    run(scene, counts_answers=counts)


def test_many_at_once_are_all_counted() -> None:
    """Processes that count one person at the same moment lose nothing."""

    async def scene(house: House) -> None:
        await asyncio.gather(*(house.violate(number) for number in range(2)))
        held = house.standing.shelf("strikes")["default/p1"]
        assert Strikes.read(held.value, "2023-11-15", 0.0).in_a_row == 2

    run(scene, automatic_up_to=None)


def measure(step: Step, **more: Any) -> Measure:
    """A measure that a person took."""
    return Measure(**{
        "id": "mea_1", "tenant": "default", "subject": "p1", "step": step, "reason": "x", "actor": "t",
        "placed_at": NOW, **more,
    })  # fmt: skip


def test_a_warning_is_read_beside_every_answer() -> None:
    """With the entrance for complaints; the request goes on."""

    async def scene(house: House) -> None:
        await house.measures.place(measure(Step.WARN, expires_at=NOW + 3_600))
        asked = exchange()
        await house.measures(asked)
        (notice,) = asked.notices
        assert (notice["kind"], notice["step"]) == ("measure", "warn")
        assert notice["appeal"] in notice["text"] and "2023-11-15 07:13 CST" in notice["text"]
        assert asked.decisions[0].as_record() == {
            "duty": "measures", "verdict": "pass", "action": "notify", "reason": "warn", "rule": "mea_1",
        }  # fmt: skip
        other = exchange()
        other.person = Person(subject="p2")
        await house.measures(other)
        assert other.notices == []

    run(scene)


def test_a_restricted_person_gets_less() -> None:
    """No tools, files or media; a few requests a minute, then 429 with a time to come back."""

    async def scene(house: House) -> None:
        await house.measures.place(measure(Step.RESTRICT))
        with pytest.raises(Refusal) as caught:
            await house.measures(exchange(body={"tools": [{}]}))
        assert (caught.value.status, caught.value.code) == (403, "measure_restrict")
        for _ in range(int(LADDER.requests_per_minute)):
            await house.measures(exchange())
        with pytest.raises(Refusal) as caught:
            await house.measures(exchange())
        assert caught.value.status == 429 and not caught.value.in_band
        ((name, wait),) = caught.value.headers
        assert name == "Retry-After" and 0 < int(wait) <= 60
        house.now += int(wait)
        await house.measures(exchange())

    run(scene)


@pytest.mark.parametrize("step", [Step.SUSPEND, Step.TERMINATE])
def test_whoever_is_suspended_is_refused_in_words_to_read(step: Step) -> None:
    """In-band, so that apps show it, with the entrance for complaints."""

    async def scene(house: House) -> None:
        await house.measures.place(measure(step))
        with pytest.raises(Refusal) as caught:
            await house.measures(exchange())
        assert (caught.value.status, caught.value.code, caught.value.in_band) == (403, f"measure_{step}", True)
        assert "/duty/complaints" in caught.value.message
        assert caught.value.decision.rule == "mea_1"

    run(scene)


def test_lifting_is_recorded_first_and_forgets_what_counted() -> None:
    """While the log is away it stays; afterwards the next violation is a first one."""

    async def scene(house: House) -> None:
        for number in range(3):
            await house.violate(number)
        (found,) = house.measures.in_force()
        assert house.measures.find(found.id) == found and house.measures.find("mea_x") is None
        house.is_log_away = True
        with pytest.raises(LogUnavailable):
            await house.measures.lift(found, "t", "appeal upheld")
        assert house.step is Step.SUSPEND
        with pytest.raises(MeasureError, match="reason: expected"):
            await house.measures.lift(found, "t", " ")
        house.is_log_away = False
        await house.measures.lift(found, "t", "appeal upheld")
        assert house.step is None
        assert (house.kept[-1]["event"], house.kept[-1]["actor"]) == ("lifted", "t")
        await house.violate(4)
        assert house.step is Step.WARN

    run(scene)


def test_a_measure_holds_where_its_record_waits() -> None:
    """What tightens is done first."""

    async def scene(house: House) -> None:
        house.is_log_away = True
        assert await house.measures.place(measure(Step.SUSPEND)) == ""
        assert house.step is Step.SUSPEND

    run(scene)


@pytest.mark.parametrize(
    "wrong",
    [{"step": "smile"}, {"reason": ""}, {"reason": "x" * 501}, {"subject": ""}, {"tenant": "a/b"}, {"expires_at": NOW}],
)
def test_a_measure_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    """With the field and what was expected."""
    with pytest.raises(MeasureError, match="expected"):
        measure(**{"step": Step.WARN, **wrong})


def test_an_order_that_is_no_measure_breaks_the_stage() -> None:
    """And so refuses: nobody is let through because a word was lost. A later version's fields are left out."""
    with pytest.raises(ValueError, match="not a measure"):
        measure_of(Order("measure/default/p1", '{"id": "x"}', 1))
    later = json.loads(measure(Step.WARN).to_json()) | {"moon": "full"}
    assert measure_of(Order("measure/default/p1", json.dumps(later), 1)) == measure(Step.WARN)


@given(st.lists(st.booleans(), max_size=30))
def test_no_order_of_requests_lets_three_in_a_row_pass(asked: list[bool]) -> None:
    """Whatever stands between them, after three in a row or five in a day somebody is suspended."""

    async def scene(house: House) -> None:
        in_a_row = today = 0
        for is_violation in asked:
            if is_violation:
                in_a_row, today = in_a_row + 1, today + 1
                await house.violate()
            else:
                in_a_row = 0
                await house.behave()
            is_due = in_a_row >= LADDER.suspend_in_a_row or today >= LADDER.suspend_per_day
            assert (house.step in (Step.SUSPEND, Step.TERMINATE)) == is_due
            if is_due:
                return

    run(scene)


def test_a_minors_stricter_measure_is_no_violation() -> None:
    """What only a minor is refused counts against nobody."""
    house = House()
    milder = refusal()
    milder.decision = replace(milder.decision, verdict=Verdict.FLAG)
    asyncio.run(house.measures.refused(exchange(), milder))
    assert house.kept == [] and not house.standing.shelf("strikes")


def test_the_runner_counts_and_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refused prompt of a known person says so in its own answer; the third one in a row finds the door closed."""
    way = (stage("measures", Side.REQUEST, lambda house: house.measures), *rooms.WAY)
    house = Rooms([rooms.completion()], stages=way)

    async def identified(exchange: Exchange) -> None:
        exchange.person = WHO

    house.runner.request_duties.insert(0, (way[0], identified))

    async def scene() -> list[Any]:
        answers = [await house.walk(house.client(rooms.request(TERM))) for _ in range(4)]
        await house.house.standing.close()
        await settle()
        return answers

    answers = asyncio.run(scene())
    said = [json.loads(client.answer)["choices"][0]["message"]["content"] for client in answers]
    assert "警示" in said[0] and "警示" not in said[1] and "已被暂停至" in said[2] and "已被暂停至" in said[3]
    assert house.upstream.calls == []
    assert [entry["step"] for entry in house.log.records("measure")] == ["warn", "suspend"]
    outcomes = [entry["decisions"][-1]["duty"] for entry in house.log.records("exchange")]
    assert outcomes == ["content_filter", "content_filter", "content_filter", "measures"]


def test_counters_that_are_away_change_no_settled_answer() -> None:
    """The refusal stands; that it was not counted is an error in the numbers."""
    house = Rooms([rooms.completion()])

    async def identified(exchange: Exchange) -> None:
        exchange.person = WHO

    async def scene() -> Any:
        house.runner.request_duties.insert(0, (rooms.WAY[0], identified))
        await house.house.standing._orders.close()

        async def away(*arguments: Any, **named: Any) -> Any:
            raise StateUnavailable("the store is away")

        house.house.standing._orders.get = away  # type: ignore[method-assign]
        client = await house.walk(house.client(rooms.request(TERM)))
        await house.house.standing.close()
        await settle()
        return client

    assert asyncio.run(scene()).status == 200
    assert house.record["outcome"] == "refused"
    assert b'dutybound_duty_errors_total{duty="measures",rule="refuse"} 1.0' in house.meters.scrape()
