# SPDX-License-Identifier: Apache-2.0
"""The gateway's own API keys: who may use them, what they say, what they may spend, and that they go no further."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.admission import Identify
from gateway.api_keys import KEY_HEADERS, PREFIX, SHELF, ApiKey, ApiKeyError, ApiKeys, own_key
from gateway.decisions import Refusal
from gateway.exchange import Exchange, Person
from gateway.identity import Identifier, IdentityError
from gateway.own_records import OwnRecords
from gateway.pipeline import Side
from gateway.settings import Identity
from gateway.standing import Standing
from gateway.state import MemoryOrders, MemoryState, StateUnavailable
from gateway.wires.gemini import Gemini
from gateway.wires.interfaces import Wire
from tests.gateway.rooms import CHAT, NOW, Rooms, completion, settle, stage

SECRET = bytes(range(32))
ZONE = ZoneInfo("Asia/Shanghai")


class House:
    """Keys over memory, with a clock that moves when told."""

    def __init__(self) -> None:
        self.now = NOW
        self.kept: list[dict[str, Any]] = []
        self.drawn = 0
        clock = lambda: self.now  # noqa: E731
        self.standing = Standing(MemoryOrders(clock), clock, poll_s=60.0, stale_after_s=1e9, monotonic=clock)
        self.state = MemoryState(clock)
        self.records = OwnRecords(self.record, self.standing)
        self.keys = ApiKeys(self.standing, self.state, SECRET, ZONE, self.entropy)

    def entropy(self, count: int) -> bytes:
        """Other bytes each time."""
        self.drawn += 1
        return self.drawn.to_bytes(count, "big")

    async def record(self, fields: Mapping[str, object]) -> str:
        """A log that keeps all."""
        self.kept.append(dict(fields))
        return f"rec{len(self.kept)}"

    async def make(self, tenant: str = "acme", **options: Any) -> str:
        """A key in force; gives its text."""
        key, text = self.keys.draw(tenant, **options)
        await self.keys.place(key, "cli:li", self.records)
        return text

    def run(self, scene: Callable[[], Awaitable[Any]]) -> Any:
        """The scene, in a loop that is empty afterwards."""

        async def whole() -> Any:
            try:
                return await scene()
            finally:
                await self.standing.close()

        return asyncio.run(whole())


def asking(text: str, **changes: Any) -> Exchange:
    """An exchange of whoever holds the key with this id."""
    return Exchange("r1", NOW, "openai_chat", "/", person=Person(tenant="acme", api_key=text), **changes)


def test_a_key_opens_until_it_is_revoked() -> None:
    """It is known by its text alone; making and ending it are records that name neither text nor label."""
    house = House()

    async def scene() -> None:
        text = await house.make(label="Ms Li's laptop", requests_per_minute=5)
        key = await house.keys.find(text)
        assert key is not None and (key.tenant, key.requests_per_minute) == ("acme", 5)
        assert house.keys.list() == [key]
        for wrong in (text[:-1], text + "a", PREFIX, "dbk_" + "a" * 300, text.upper()):
            assert await house.keys.find(wrong) is None
        assert await house.keys.revoke(key.id, "cli:wu", house.records) == (key, "rec2")
        assert await house.keys.find(text) is None and house.keys.list() == []
        assert await house.keys.revoke(key.id, "cli:wu", house.records) is None
        assert [(item["event"], item["actor"]) for item in house.kept] == [
            ("api_key_made", "cli:li"), ("api_key_revoked", "cli:wu"),
        ]  # fmt: skip
        for item in house.kept:
            assert text not in str(item) and key.digest not in str(item)
            assert "Li" not in str({**item, "sealed": None})

    house.run(scene)


def test_a_key_that_could_not_be_recorded_does_not_open() -> None:
    """What loosens is recorded first."""
    house = House()

    async def away(fields: object) -> str:
        raise RuntimeError("the log is away")

    async def scene() -> None:
        key, text = house.keys.draw("acme")
        with pytest.raises(RuntimeError):
            await house.keys.place(key, "cli:li", OwnRecords(away, house.standing))
        assert await house.keys.find(text) is None

    house.run(scene)


def test_only_a_keyed_hash_is_kept() -> None:
    """Whoever reads the orders without the secret can not even test a guess; another secret opens nothing."""
    house = House()

    async def scene() -> None:
        text = await house.make()
        (order,) = house.standing.shelf(SHELF).values()
        assert order.value is not None and text not in order.value and text[4:] not in order.value
        other = ApiKeys(house.standing, house.state, bytes(32), ZONE, house.entropy)
        assert await other.find(text) is None

    house.run(scene)


def test_a_key_ends_at_its_time() -> None:
    """To the second."""
    house = House()

    async def scene() -> None:
        text = await house.make(expires_at=NOW + 60)
        house.now = NOW + 59.9
        assert await house.keys.find(text) is not None
        house.now = NOW + 60
        assert await house.keys.find(text) is None and house.keys.list() == []

    house.run(scene)


def test_an_order_that_is_no_key_opens_nothing() -> None:
    """Of whatever later version it is."""
    house = House()

    async def scene() -> None:
        text = await house.make()
        await house.standing.place(SHELF, "odd", "[1]")
        await house.standing.place(SHELF, "odder", '{"id": "x", "tenant": "a/b", "digest": "", "created_at": 1}')
        assert [key.tenant for key in house.keys.list()] == ["acme"] and await house.keys.find(text)

    house.run(scene)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"tenant": "a/b"}, "tenant:"),
        ({"tenant": ""}, "tenant:"),
        ({"label": "x" * 101}, "label:"),
        ({"requests_per_minute": -1}, "rpm:"),
        ({"tokens_per_day": -1}, "tokens-per-day:"),
        ({"expires_at": NOW}, "expires:"),
    ],
)
def test_what_cannot_be_is_refused_by_its_field(options: dict[str, Any], said: str) -> None:
    """Before anything is kept."""
    with pytest.raises(ApiKeyError, match=said):
        House().keys.draw(**{"tenant": "acme", **options})


def test_requests_beyond_a_minute_wait_for_the_next() -> None:
    """429 with the seconds to wait; atomically, so of many at once exactly the quota passes."""
    house = House()

    async def scene() -> None:
        text = await house.make(requests_per_minute=3)
        key = await house.keys.find(text)
        assert key is not None
        results = await asyncio.gather(
            *(house.keys(asking(key.id)) for _ in range(10)), return_exceptions=True
        )  # fmt: skip
        assert [result is None for result in results].count(True) == 3
        refusal: Any = results[-1]
        assert (refusal.status, refusal.code, refusal.decision.rule) == (429, "quota_exceeded", key.id)
        wait = int(dict(refusal.headers)["Retry-After"])
        assert wait == 60 - int(NOW) % 60
        house.now = NOW + wait
        await house.keys(asking(key.id))

    house.run(scene)


def test_a_days_tokens_end_with_the_day_of_the_service() -> None:
    """The whole of prompt and answer counts; the next day begins at midnight of the service's zone."""
    house = House()

    async def scene() -> None:
        text = await house.make(tokens_per_day=100)
        key = await house.keys.find(text)
        assert key is not None
        await house.keys(asking(key.id))
        await house.keys.ended(asking(key.id, asked_at=NOW, input_tokens=60, output_tokens=40))
        with pytest.raises(Refusal) as caught:
            await house.keys(asking(key.id))
        refusal = caught.value
        assert (refusal.status, refusal.decision.reason) == (429, "tokens_per_day")
        wait = int(dict(refusal.headers)["Retry-After"])
        house.now = NOW + wait - 2
        with pytest.raises(Refusal):
            await house.keys(asking(key.id))
        house.now = NOW + wait
        await house.keys(asking(key.id))

    house.run(scene)


def test_what_the_model_did_not_count_counts_by_its_characters() -> None:
    """And what the model was never asked costs nothing."""
    house = House()

    async def scene() -> None:
        text = await house.make(tokens_per_day=100)
        key = await house.keys.find(text)
        assert key is not None
        await house.keys.ended(asking(key.id, released_chars=1_000))
        await house.keys(asking(key.id))
        await house.keys.ended(asking(key.id, asked_at=NOW, released_chars=100))
        with pytest.raises(Refusal):
            await house.keys(asking(key.id))

    house.run(scene)


def test_a_key_that_was_revoked_within_a_session_ends_it() -> None:
    """The identity of a realtime session's handshake is believed for its time, its key is not."""
    house = House()

    async def scene() -> None:
        text = await house.make()
        key = await house.keys.find(text)
        assert key is not None
        await house.keys(asking(key.id))
        await house.keys.revoke(key.id, "cli:wu", house.records)
        with pytest.raises(Refusal) as caught:
            await house.keys(asking(key.id))
        assert caught.value.status == 401

    house.run(scene)


def test_counters_that_are_away_refuse() -> None:
    """A quota that nobody can count is not passed over."""
    house = House()

    async def scene() -> None:
        text = await house.make(requests_per_minute=3)
        key = await house.keys.find(text)
        await house.state.close()
        with pytest.raises(StateUnavailable):
            await house.keys(asking(cast(ApiKey, key).id))

    house.run(scene)


@pytest.mark.parametrize("header", sorted(KEY_HEADERS))
def test_a_key_is_found_where_each_wire_carries_it(header: bytes) -> None:
    """As itself, or behind `Bearer` in any case."""
    assert own_key(b"dbk_abc") == own_key(b" Bearer dbk_abc ") == own_key(b"bEARER  dbk_abc") == "dbk_abc"
    house = House()

    async def scene() -> None:
        text = await house.make()
        who = Identifier(Identity(), SECRET, lambda: house.now, api_keys=house.keys)
        person = await who.identify([(header, f"Bearer {text}".encode())])
        assert (person.tenant, person.subject, person.is_signed) == ("acme", "", False)

    house.run(scene)


@given(st.binary(max_size=60))
def test_whatever_a_header_holds_it_is_read(value: bytes) -> None:
    """A key of the model's own is none of ours."""
    found = own_key(value)
    assert found == "" or found.startswith(PREFIX)
    assert own_key(b"Bearer sk-" + value.replace(b"dbk_", b"")) == ""


@pytest.mark.parametrize(
    ("setting", "sent", "code"),
    [
        ("accept", (), ""),
        ("accept", (b"Bearer sk-model",), ""),
        ("accept", (b"dbk_unknown",), "unknown_key"),
        ("require", (), "api_key_required"),
        ("require", (b"Bearer sk-model",), "api_key_required"),
        ("off", (), ""),
        ("off", (b"dbk_unknown",), "unknown_key"),
        ("accept", (b"dbk_one", b"dbk_two"), "duplicate_key"),
    ],
)
def test_who_needs_a_key(setting: Any, sent: tuple[bytes, ...], code: str) -> None:
    """A key of ours that is not in force never passes as none."""
    house = House()

    async def scene() -> None:
        who = Identifier(Identity(api_keys=setting), SECRET, lambda: house.now, api_keys=house.keys)
        headers = list(zip((b"x-api-key", b"authorization"), sent, strict=False))
        try:
            person = await who.identify(headers)
        except IdentityError as error:
            assert (error.code, error.status) == (code, 401)
        else:
            assert code == "" and person.api_key == ""

    house.run(scene)


def walked(house: House, wire: Wire | None = None, headers: tuple[tuple[bytes, bytes], ...] = (), **client: Any) -> Any:
    """One request through the runner with these duties; gives rooms and client."""
    who = Identifier(Identity(), SECRET, lambda: house.now, api_keys=house.keys)
    rooms = Rooms(
        [completion()],
        stages=(
            stage("identify", Side.REQUEST, lambda _: Identify(who)),
            stage("quotas", Side.REQUEST, lambda _: house.keys),
        ),
    )  # fmt: skip
    cast(Any, rooms.house).api_keys = house.keys
    made: Any = rooms.client(headers=headers, **client)

    async def scene() -> None:
        await rooms.runner.run(wire or CHAT, made.scope(), made.receive, made.send)
        await settle()

    asyncio.run(scene())
    return rooms, made


def test_a_request_counts_and_the_next_is_refused_in_the_wires_words() -> None:
    """The answer's own token counts are what is added; the record names the tenant."""
    house = House()
    text = asyncio.run(house.make(tokens_per_day=7))
    rooms, client = walked(house, headers=((b"authorization", f"Bearer {text}".encode()),))
    assert client.status == 200 and rooms.record["tenant"] == "acme"
    rooms, client = walked(house, headers=((b"authorization", f"Bearer {text}".encode()),))
    assert client.status == 429 and client.code == "quota_exceeded" and rooms.upstream.calls == []
    assert int(client.answer_headers[b"retry-after"]) > 0
    assert rooms.record["decisions"][-1]["duty"] == "quotas"
    assert text not in str(rooms.log.entries)
    asyncio.run(house.standing.close())


def test_a_wires_own_error_says_it() -> None:
    """Google's clients read `RESOURCE_EXHAUSTED`."""
    house = House()
    text = asyncio.run(house.make(requests_per_minute=1))
    path = "/v1beta/models/m:generateContent"
    body = json.dumps({"contents": [{"role": "user", "parts": [{"text": "hello"}]}]}).encode()
    for _ in range(2):
        _, client = walked(house, Gemini(), ((b"x-goog-api-key", text.encode()),), path=path, body=body)
    assert client.status == 429 and json.loads(client.answer)["error"]["status"] == "RESOURCE_EXHAUSTED"
    asyncio.run(house.standing.close())
