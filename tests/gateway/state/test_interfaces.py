# SPDX-License-Identifier: Apache-2.0
"""The contract of `State`, the same for memory, SQLite and Redis."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.state import MemoryState, SqliteState, State, StateUnavailable, Usage
from gateway.state.activity import Activity, touched
from gateway.state.redis import RedisState

T = TypeVar("T")

DAY = "2026-03-01"
GAP_S = 300.0


def play(house: Any, story: Callable[..., Awaitable[T]], handles: int = 1) -> T:
    """Run `story` with so many handles to the store, and close them."""

    async def run() -> T:
        states: list[State] = [house.open() for _ in range(handles)]
        try:
            return await story(*states)
        finally:
            for state in states:
                await state.close()

    return asyncio.run(run())


def test_the_first_touch_counts_nothing_and_the_next_what_passed(house: Any) -> None:
    """Use is the time between two signs of life."""
    now = house.clock.now

    async def story(state: State) -> tuple[Usage, Usage]:
        return await state.touch_usage("a", now, DAY, GAP_S), await state.touch_usage("a", now + 61.5, DAY, GAP_S)

    first, second = play(house, story)

    assert Usage(0.0, 0.0, now) == first
    assert Usage(61.5, 61.5, now) == second


@pytest.mark.parametrize("pause_s", [0.0, 12.5, 299.999, 300.0, -40.0])
def test_a_look_says_what_a_touch_would_and_counts_nothing(house: Any, pause_s: float) -> None:
    """However often, on the day of the last touch, on the next, and for whoever was never here."""
    now = house.clock.now

    async def story(state: State) -> tuple[list[Usage], list[Usage]]:
        await state.touch_usage("a", now, DAY, GAP_S)
        await state.touch_usage("a", now + 60, DAY, GAP_S)
        looks = [await state.look_at_usage("a", now + 60 + pause_s, DAY, GAP_S) for _ in range(3)]
        touch = await state.touch_usage("a", now + 60 + pause_s, DAY, GAP_S)
        assert looks == [touch] * 3
        midnight = now + 70 + max(pause_s, 0)
        look = await state.look_at_usage("a", midnight + 5, "2026-03-02", GAP_S, day_started_at=midnight)
        touch = await state.touch_usage("a", midnight + 5, "2026-03-02", GAP_S, day_started_at=midnight)
        unknown = [await state.look_at_usage("b", now + second, DAY, GAP_S) for second in (0, 30)]
        return [look, *unknown], [touch, Usage(0.0, 0.0, now), Usage(0.0, 0.0, now + 30)]

    looks, touches = play(house, story)

    assert looks == touches


@pytest.mark.parametrize(("pause_s", "counted_s", "stretch_s"), [(299.999, 359.999, 359.999), (300.0, 60.0, 0.0)])
def test_a_pause_of_the_idle_gap_ends_the_stretch(
    house: Any, pause_s: float, counted_s: float, stretch_s: float
) -> None:
    """One millisecond decides: a shorter pause is use, the gap itself is rest."""
    now = house.clock.now

    async def story(state: State) -> Usage:
        await state.touch_usage("a", now, DAY, GAP_S)
        await state.touch_usage("a", now + 60, DAY, GAP_S)
        return await state.touch_usage("a", now + 60 + pause_s, DAY, GAP_S)

    usage = play(house, story)

    assert (counted_s, stretch_s) == (usage.day_seconds, usage.continuous_seconds)
    assert usage.run_started_at == (now if stretch_s else now + 360)


def test_two_devices_at_once_count_once(house: Any) -> None:
    """Two handles that touch in turn, and together, see one clock."""
    now = house.clock.now

    async def story(phone: State, tablet: State) -> Usage:
        await phone.touch_usage("a", now, DAY, GAP_S)
        for second in range(0, 100, 10):
            await asyncio.gather(
                phone.touch_usage("a", now + second, DAY, GAP_S), tablet.touch_usage("a", now + second + 5, DAY, GAP_S)
            )
        return await phone.touch_usage("a", now + 100, DAY, GAP_S)

    assert Usage(100.0, 100.0, now) == play(house, story, handles=2)


def test_a_late_touch_changes_nothing(house: Any) -> None:
    """A replica whose clock is behind neither counts again nor turns back."""
    now = house.clock.now

    async def story(state: State) -> tuple[Usage, Usage]:
        await state.touch_usage("a", now, DAY, GAP_S)
        await state.touch_usage("a", now + 100, DAY, GAP_S)
        late = await state.touch_usage("a", now + 40, DAY, GAP_S)
        return late, await state.touch_usage("a", now + 101, DAY, GAP_S)

    late, next_ = play(house, story)

    assert (late.day_seconds, next_.day_seconds) == (100.0, 101.0)


def test_a_clock_that_was_wrong_by_hours_does_not_stop_the_count(house: Any) -> None:
    """After the clock has been put right, use is counted again."""
    now = house.clock.now

    async def story(state: State) -> Usage:
        await state.touch_usage("a", now + 40_000, DAY, GAP_S)
        await state.touch_usage("a", now, DAY, GAP_S)
        return await state.touch_usage("a", now + 30, DAY, GAP_S)

    assert Usage(30.0, 30.0, now) == play(house, story)


def test_midnight_divides_an_interval(house: Any) -> None:
    """The new day begins with what was used after midnight; the stretch goes on."""
    midnight = house.clock.now

    async def story(state: State) -> Usage:
        await state.touch_usage("a", midnight - 100, "2026-02-28", GAP_S)
        return await state.touch_usage("a", midnight + 20, DAY, GAP_S, day_started_at=midnight)

    assert Usage(20.0, 120.0, midnight - 100) == play(house, story)


def test_changing_the_zone_to_and_fro_finds_each_day_again(house: Any) -> None:
    """A date that comes back has its total still: nobody gets a fresh day by a change of zone."""
    now = house.clock.now

    async def story(state: State) -> list[float]:
        days = ["2026-03-01", "2026-03-01", "2026-03-02", "2026-02-28", "2026-03-01", "2026-03-02", "2026-02-28"]
        return [(await state.touch_usage("a", now + 10 * i, day, GAP_S)).day_seconds for i, day in enumerate(days)]

    assert play(house, story) == [0.0, 10.0, 10.0, 10.0, 20.0, 20.0, 20.0]


def test_usage_is_forgotten_three_days_after_the_last_touch(house: Any) -> None:
    """Not a moment earlier, because until then a date may still be current somewhere."""
    now = house.clock.now

    async def touch(state: State, at: float) -> float:
        return (await state.touch_usage("a", at, DAY, GAP_S)).day_seconds

    async def use(state: State) -> None:
        await touch(state, now)
        await touch(state, now + 50)

    if house.kind == "redis":
        play(house, use)
        house.advance(72 * 3600 - 10)
        assert play(house, lambda state: touch(state, house.clock.now)) == 50.0
        house.advance(72 * 3600 + 10)
        assert play(house, lambda state: touch(state, house.clock.now)) == 0.0
        return

    async def story(state: State) -> tuple[float, float]:
        await use(state)
        kept = await touch(state, now + 50 + 72 * 3600 - 1)
        return kept, await touch(state, now + 50 + 144 * 3600)

    assert play(house, story) == (50.0, 0.0)


def test_people_are_counted_apart(house: Any) -> None:
    """One person's use is nobody else's."""
    now = house.clock.now

    async def story(state: State) -> tuple[float, float]:
        await state.touch_usage("a", now, DAY, GAP_S)
        await state.touch_usage("b", now, DAY, GAP_S)
        a = await state.touch_usage("a", now + 7, DAY, GAP_S)
        return a.day_seconds, (await state.touch_usage("b", now + 9, DAY, GAP_S)).day_seconds

    assert play(house, story) == (7.0, 9.0)


def test_a_value_is_remembered_until_its_time(house: Any) -> None:
    """Another handle reads it, a second write takes its place, and it ends with its time to live."""

    async def write(one: State, other: State) -> tuple[str | None, str | None, str | None]:
        before = await other.recall("told")
        await one.remember("told", "第一版", 50)
        first = await other.recall("told")
        await other.remember("told", "v2", 100)
        return before, first, await one.recall("told")

    async def read(state: State) -> str | None:
        return await state.recall("told")

    if house.kind == "memory":

        async def story(state: State) -> list[Any]:
            seen: list[Any] = [await write(state, state)]
            for seconds in (90, 11):
                house.advance(seconds)
                seen.append(await read(state))
            return seen

        seen = play(house, story)
    else:
        seen = [play(house, write, handles=2)]
        for seconds in (90, 11):
            house.advance(seconds)
            seen.append(play(house, read))

    assert seen == [(None, "第一版", "v2"), "v2", None]


def test_a_counter_ends_with_its_first_time_to_live(house: Any) -> None:
    """Later additions do not prolong it, so `so many a day` cannot be stretched."""

    async def add(state: State, amount: int) -> int:
        return await state.add("strikes", amount, 100)

    if house.kind == "memory":

        async def story(state: State) -> list[int]:
            seen = [await add(state, 1)]
            for seconds, amount in ((60, 2), (39, -1), (1, 5)):
                house.advance(seconds)
                seen.append(await add(state, amount))
            return seen

        seen = play(house, story)
    else:
        seen = [play(house, lambda state: add(state, 1))]
        for seconds, amount in ((60, 2), (39, -1), (1, 5)):
            house.advance(seconds)
            seen.append(play(house, lambda state, amount=amount: add(state, amount)))

    assert seen == [1, 3, 2, 5]


def test_concurrent_additions_are_each_counted_once(house: Any) -> None:
    """Every caller sees a number that no other sees."""

    async def story(one: State, other: State) -> list[int]:
        return await asyncio.gather(*((one if i % 2 else other).add("n", 1, 100) for i in range(200)))

    assert list(range(1, 201)) == sorted(play(house, story, handles=2))


def test_the_three_kinds_have_names_of_their_own(house: Any) -> None:
    """The same key is a person, a value and a counter without any of them touching the others."""

    async def story(state: State) -> tuple[float, str | None, int]:
        await state.touch_usage("k", house.clock.now, DAY, GAP_S)
        await state.remember("k", "v", 100)
        count = await state.add("k", 4, 100)
        return (
            (await state.touch_usage("k", house.clock.now + 2, DAY, GAP_S)).day_seconds,
            await state.recall("k"),
            count,
        )

    assert play(house, story) == (2.0, "v", 4)


def test_a_closed_state_refuses(house: Any) -> None:
    """After `close` nothing is counted in secret; closing twice is no fault."""

    async def story() -> None:
        state = house.open()
        await state.add("n", 1, 100)
        await state.close()
        await state.close()
        for call in (
            state.add("n", 1, 100),
            state.recall("k"),
            state.remember("k", "v", 1),
            state.touch_usage("a", house.clock.now, DAY, GAP_S),
        ):
            with pytest.raises(StateUnavailable, match="closed"):
                await call

    asyncio.run(story())


touches = st.lists(
    st.tuples(
        st.integers(-4_000_000, 4_000_000),  # ms since the last call, also backwards
        st.sampled_from(["2026-02-27", "2026-02-28", "2026-03-01", "2026-03-02"]),
        st.sampled_from([1, 1_000, 300_000]),
        st.integers(-2_000_000, 2_000_000),  # where the day began, from now
    ),
    max_size=25,
)


@settings(max_examples=40, deadline=None)
@given(calls=touches)
def test_all_stores_count_the_same(calls: list[tuple[int, str, int, int]], redis_server: Any) -> None:
    """Whatever is touched in whatever order, memory, SQLite and Redis agree with the rule, to the millisecond."""
    start_ms = 1_772_330_400_000
    expected: list[Usage] = []
    activity: Activity | None = None
    now_ms = start_ms
    arguments = []
    for step, day, gap_ms, day_start in calls:
        now_ms += step
        activity = touched(activity, now_ms, day, gap_ms, now_ms + day_start)
        expected.append(activity.usage())
        arguments.append((now_ms / 1000, day, gap_ms / 1000, (now_ms + day_start) / 1000))

    async def replay(state: State) -> list[Usage]:
        try:
            return [await state.touch_usage("a", *call[:3], day_started_at=call[3]) for call in arguments]
        finally:
            await state.close()

    with redis_server.client() as client:
        client.flushall()
    assert expected == asyncio.run(replay(MemoryState(lambda: start_ms / 1000)))
    assert expected == asyncio.run(replay(RedisState(redis_server.url, 5.0)))
    with tempfile.TemporaryDirectory() as folder:
        assert expected == asyncio.run(replay(SqliteState(Path(folder) / "s.db", lambda: start_ms / 1000, 5.0)))
