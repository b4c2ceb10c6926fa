# SPDX-License-Identifier: Apache-2.0
"""The kill switch: what a pause covers, how requests and running answers end, and what happens in the dark."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from audit_log import LogUnavailable
from gateway.decisions import Action, Refusal
from gateway.exchange import Exchange, Person, Prompt
from gateway.own_records import OwnRecords
from gateway.pipeline import Side
from gateway.standing import Standing
from gateway.state import MemoryOrders, Order, StateUnavailable
from gateway.switches import SHELF, Pause, SwitchError, Switches, new_pause_id, pause_of
from tests.gateway import rooms
from tests.gateway.rooms import NOW, Rooms, chunks, request, settle, stage

WAY = (stage("switches", Side.REQUEST, lambda house: house.switches), *rooms.WAY)


def exchange(model: str = "m", tenant: str = "default", wire: str = "openai_chat", **prompt: Any) -> Exchange:
    """An exchange that has been read."""
    fields = {"model": model, "stream": False, "texts": [], "body": {}, **prompt}
    return Exchange("r", NOW, wire, "/", person=Person(tenant=tenant), model=model, prompt=Prompt(**fields))


def pause(**traits: Any) -> Pause:
    """A pause with these traits."""
    return Pause(**{"id": "pause_1", "actor": "t", "reason": "drill", "placed_at": NOW, **traits})


@pytest.mark.parametrize(
    ("traits", "covered", "spared"),
    [
        ({}, exchange(), None),
        ({"model": "m"}, exchange(), exchange("m2")),
        ({"model": "gpt-*"}, exchange("gpt-5"), exchange("o5")),
        ({"tenant": "school"}, exchange(tenant="school"), exchange()),
        ({"wire": "openai_images"}, exchange(wire="openai_images"), exchange()),
        ({"kind": "streams"}, exchange(stream=True), exchange()),
        ({"model": "m", "tenant": "school"}, exchange("m", "school"), exchange("m")),
    ],
)
def test_a_pause_covers_what_has_all_its_traits(
    traits: dict[str, str], covered: Exchange, spared: Exchange | None
) -> None:
    """And nothing else; without traits it covers everything."""
    made = pause(**traits)
    assert made.covers(covered)
    assert spared is None or not made.covers(spared)
    assert made.covered == ("+".join(traits) or "everything")
    assert pause_of(Order("pause/pause_1", made.to_json(), 1)) == made


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "everything"},
        {"model": "a b"},
        {"model": "*"},
        {"tenant": "a*"},
        {"wire": "x\n"},
        {"reason": " "},
        {"reason": "x" * 501},
        {"expires_at": NOW},
    ],
)
def test_a_pause_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    """With the field and what was expected."""
    with pytest.raises(SwitchError, match=rf"{next(iter(wrong)).removesuffix('_at')}.*: expected"):
        pause(**wrong)


def test_an_order_that_cannot_be_read_pauses_everything() -> None:
    """Who cannot tell what is paused lets nobody through; what a later version adds only widens."""
    assert pause_of(Order("pause/p9", "garbage", 1)).covered == "everything"
    assert pause_of(Order("pause/p9", '{"id": "p9", "kind": "unheard of"}', 1)).covered == "everything"
    later = json.loads(pause(model="m").to_json()) | {"moon": "full"}
    assert pause_of(Order("pause/p9", json.dumps(later), 1)) == pause(model="m")


def test_ids_are_not_guessed_into_each_other() -> None:
    """Random, with a name that says what they are."""
    assert new_pause_id(lambda count: b"\x01" * count) == "pause_0101010101"


def run(house: Rooms, scene: Callable[[], Awaitable[Any]]) -> Any:
    """A scene in which nothing may go on behind its end."""

    async def whole() -> Any:
        try:
            return await scene()
        finally:
            await house.house.standing.close()
            await settle()

    return asyncio.run(whole())


def test_a_new_request_is_refused_before_anything_is_spent() -> None:
    """503 in the wire's words with a time to come back; the model is not asked; the record names the pause."""
    house = Rooms([], stages=WAY)

    async def scene() -> Any:
        await house.house.switches.place(pause(model="m", expires_at=NOW + 90))
        return await house.walk(house.client())

    client = run(house, scene)
    assert (client.status, client.code) == (503, "paused")
    assert client.answer_headers[b"retry-after"] == b"91"
    assert house.upstream.calls == []
    assert house.record["outcome"] == "refused"
    (decision,) = house.record["decisions"]
    assert decision == {
        "duty": "switches", "verdict": "block", "action": "refuse", "reason": "model", "rule": "pause_1",
    }  # fmt: skip


def test_an_expired_pause_and_a_lifted_one_let_through() -> None:
    """At once."""
    house = Rooms([], stages=WAY)

    async def scene() -> None:
        switches = house.house.switches
        await switches.place(pause(expires_at=NOW + 90))
        assert [item.id for item in switches.in_force()] == ["pause_1"]
        assert await switches.find("pause_1") == pause(expires_at=NOW + 90)
        house.now += 91
        assert switches.in_force() == () and switches.covering(exchange()) is None
        assert await switches.find("pause_1") is None
        await switches.place(pause(placed_at=house.now))
        assert switches.covering(exchange()) is not None
        assert await switches.lift("pause_1") and not await switches.lift("pause_1")
        await switches(exchange())

    run(house, scene)


def test_nobody_is_let_through_in_the_dark() -> None:
    """A store that does not answer breaks the stage: 503 by its rule, also for what is not paused."""
    house = Rooms([], stages=WAY)

    async def scene() -> Any:
        async def away(after: int) -> Any:
            raise StateUnavailable("the store is away")

        house.house.standing._orders.changes = away  # type: ignore[method-assign]
        return await house.walk(house.client())

    client = run(house, scene)
    assert (client.status, client.code) == (503, "duty_failed")
    assert house.record["decisions"] == [
        {"duty": "switches", "verdict": "error", "action": "refuse", "reason": "broken"}
    ]


STREAM = request("你好", stream=True)


def test_a_running_stream_ends_as_its_wire_ends_one() -> None:
    """The model is cancelled first; a finish, our words and the end follow; the record says `stopped`."""

    async def scene() -> tuple[Rooms, Any]:
        never = asyncio.Event()
        house = Rooms([*chunks("hello ", ends=False), never], stages=WAY, content_type="text/event-stream")
        client = house.client(STREAM)
        walking = asyncio.create_task(house.walk(client))
        while b"hello" not in client.answer:
            await asyncio.sleep(0.001)
        cancel = house.upstream.answer.cancel  # type: ignore[union-attr]

        def cancelled() -> None:
            cancel()
            never.set()

        house.upstream.answer.cancel = cancelled  # type: ignore[union-attr, method-assign]
        await house.house.switches.place(pause(kind="streams"))
        async with asyncio.timeout(10):
            await walking
        await house.house.standing.close()
        await settle()
        return house, client

    house, client = asyncio.run(scene())
    assert house.timeline.index("upstream cancelled") < house.timeline.index("record close")
    assert house.timeline.index("record close") < house.timeline.index("last byte")
    said = client.answer.decode()
    assert '"finish_reason":"content_filter"' in said and said.rstrip().endswith("data: [DONE]")
    assert "服务已暂停" in said and "retraction" not in said
    assert house.record["outcome"] == "stopped" and "incident" not in house.record
    assert {
        "duty": "switches",
        "verdict": "block",
        "action": "stop",
        "reason": "kind",
        "rule": "pause_1",
    } in house.record["decisions"]
    assert house.incidents.opened == []


@pytest.mark.parametrize("is_stream", [False, True])
def test_an_answer_of_which_nothing_has_left_becomes_the_error(is_stream: bool) -> None:
    """A plain answer, or a stream whose model has not begun: 503, the model cancelled, the record says `stopped`."""

    async def scene() -> tuple[Rooms, Any]:
        house = Rooms(
            [asyncio.Event()], stages=WAY, content_type="text/event-stream" if is_stream else "application/json"
        )
        client = house.client(STREAM if is_stream else b"")
        walking = asyncio.create_task(house.walk(client))
        while not house.upstream.calls:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.01)
        await house.house.switches.place(pause())
        async with asyncio.timeout(10):
            await walking
        await house.house.standing.close()
        await settle()
        return house, client

    house, client = asyncio.run(scene())
    assert (client.status, client.code) == (503, "paused")
    assert "upstream cancelled" in house.timeline
    assert house.record["outcome"] == "stopped"


def test_what_is_not_covered_and_what_has_ended_is_left_alone() -> None:
    """A pause of another model, and exchanges that are gone."""
    house = Rooms([], stages=WAY)
    halted: list[Refusal] = []

    async def scene() -> None:
        switches = house.house.switches
        one, two, gone = exchange("a"), exchange("b"), exchange("a")
        one.record_id, two.record_id, gone.record_id = "1", "2", "3"
        for item in (one, two, gone):
            switches.enter(item, halted.append)
        switches.leave(gone)
        await switches.place(pause(model="a"))
        await switches.place(pause(id="pause_2", model="z"))
        assert [refusal.decision.action for refusal in halted] == [Action.STOP]

    run(house, scene)


def test_pausing_works_without_the_log_and_resuming_does_not() -> None:
    """What tightens is done first and its record owed; what loosens is recorded first."""

    async def scene() -> None:
        standing = Standing(MemoryOrders(lambda: NOW), lambda: NOW, poll_s=60.0, stale_after_s=60.0)
        kept: list[dict[str, object]] = []
        is_away = True

        async def record(fields: Any) -> str:
            if is_away:
                raise LogUnavailable("the disk is away")
            kept.append(dict(fields))
            return f"r{len(kept)}"

        switches, records = Switches(standing), OwnRecords(record, standing)
        assert await switches.pause(pause(model="m"), records) == ""
        assert switches.covering(exchange()) is not None
        with pytest.raises(LogUnavailable):
            await switches.resume("pause_1", "t2", records)
        assert switches.covering(exchange()) is not None
        is_away = False
        assert await records.settle() == 1
        done = await switches.resume("pause_1", "t2", records)
        assert done == (pause(model="m"), "r2")
        assert await switches.resume("pause_1", "t2", records) is None
        assert [(item["event"], item["actor"], item["scope"]) for item in kept] == [
            ("paused", "t", {"model": "m"}),
            ("resumed", "t2", {"model": "m"}),
        ]
        assert kept[0]["sealed"] == {"reason": "drill"}
        assert "drill" not in str({**kept[0], "sealed": None})
        await standing.close()

    asyncio.run(scene())


def test_a_process_that_starts_later_begins_paused() -> None:
    """The orders were there before it."""

    async def scene() -> None:
        orders = MemoryOrders(lambda: NOW)
        await orders.put(f"{SHELF}/pause_1", pause().to_json())
        standing = Standing(orders, lambda: NOW, poll_s=60.0, stale_after_s=60.0)
        await standing.refresh()
        assert Switches(standing).covering(exchange()) is not None
        late = Standing(orders, lambda: NOW, poll_s=60.0, stale_after_s=60.0)
        switches = Switches(late)
        with pytest.raises(Refusal):
            await switches(exchange())
        await standing.close()
        await late.close()

    asyncio.run(scene())
