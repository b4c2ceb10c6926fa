# SPDX-License-Identifier: Apache-2.0
"""What somebody tries who wants to be another: all ways at once, against everything that says who is asking."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from gateway import disclosure, gates
from gateway.api_keys import ApiKeys
from gateway.disclosure import Disclosure
from gateway.exchange import Person
from gateway.gates import Agreement
from gateway.identity import Identifier, IdentityError
from gateway.own_records import OwnRecords
from gateway.policies import load
from gateway.settings import Identity, Settings
from gateway.standing import Standing
from gateway.state import MemoryOrders, MemoryState, StateUnavailable

NOW = 1_790_000_000.0
SECRET = b"s" * 32
POLICY = load(["cn"])


def token(secret: bytes = SECRET, algorithm: str = "HS256", **claims: Any) -> bytes:
    """A JWT made by hand."""
    parts = (json.dumps({"alg": algorithm}).encode(), json.dumps({"sub": "anna", **claims}).encode())
    signed = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    mac = b"" if algorithm == "none" else hmac.digest(secret, signed, "sha256")
    return signed + b"." + base64.urlsafe_b64encode(mac).rstrip(b"=")


def who(*headers: tuple[bytes, bytes], tenant: str = "acme", **settings: Any) -> Person:
    """Who these headers are, where `KEY` stands for a key of the tenant."""

    async def scene() -> Person:
        clock = lambda: NOW  # noqa: E731
        standing = Standing(MemoryOrders(clock), clock, poll_s=60.0, stale_after_s=1e9, monotonic=clock)
        try:
            keys = ApiKeys(standing, MemoryState(clock), SECRET, ZoneInfo("Asia/Shanghai"), bytes)
            key, text = keys.draw(tenant)

            async def record(fields: object) -> str:
                return "r"

            await keys.place(key, "cli:li", OwnRecords(record, standing))
            one = Identifier(Identity(**settings), SECRET, clock, SECRET, api_keys=keys)
            return await one.identify([(name, value.replace(b"KEY", text.encode())) for name, value in headers])
        finally:
            await standing.close()

    return asyncio.run(scene())


def refusal(*headers: tuple[bytes, bytes], **settings: Any) -> tuple[int, str]:
    """How they are refused."""
    with pytest.raises(IdentityError) as caught:
        who(*headers, **settings)
    return caught.value.status, caught.value.code


KEY = (b"authorization", b"Bearer KEY")


def test_a_subject_of_another_tenant_is_refused_beside_a_key() -> None:
    """The token may be genuine; the key's tenant has nothing to do with it."""
    assert refusal(KEY, (b"duty-subject", token(tenant="other"))) == (403, "wrong_tenant")
    assert refusal(KEY, (b"duty-subject", token(tenant="default"))) == (403, "wrong_tenant")
    same = who(KEY, (b"duty-subject", token(tenant="acme")))
    silent = who(KEY, (b"duty-subject", token()))
    alone = who((b"duty-subject", token()))
    assert same.subject == silent.subject != alone.subject
    assert (same.tenant, alone.tenant) == ("acme", "default")


def test_a_remembered_token_is_not_believed_beside_another_tenants_key() -> None:
    """What was verified is remembered by token and tenant together."""

    async def scene() -> None:
        clock = lambda: NOW  # noqa: E731
        one = Identifier(Identity(), SECRET, clock, SECRET)
        alone = await one._person_of(token(), "")
        acme = await one._person_of(token(), "acme")
        other = await one._person_of(token(), "other")
        assert len({alone.subject, acme.subject, other.subject}) == 3
        with pytest.raises(IdentityError):
            await one._person_of(token(tenant="acme"), "other")
        await one._person_of(token(tenant="acme"), "acme")
        with pytest.raises(IdentityError):
            await one._person_of(token(tenant="acme"), "other")

    asyncio.run(scene())


def test_a_key_makes_nobody_somebody() -> None:
    """It is no person, not verified, no adult; and a required token stays required."""
    person = who(KEY)
    assert (person.subject, person.is_signed, person.is_verified) == ("", False, False)
    assert refusal(KEY, required=True) == (401, "identity_required")


@pytest.mark.parametrize("bad", [
    token(secret=b"t" * 32), token(algorithm="none"), token(exp=NOW - 60), token(nbf=NOW + 60),
    token()[:-1], b"KEY", b"",
])  # fmt: skip
def test_a_bad_token_is_refused_beside_a_good_key(bad: bytes) -> None:
    """Never taken for no token: minors' mode would be lost by it."""
    assert refusal(KEY, (b"duty-subject", bad))[0] == 401


@pytest.mark.parametrize("headers", [
    (KEY, (b"x-api-key", b"dbk_other")),
    ((b"x-api-key", b"dbk_other"), KEY),
    ((b"x-api-key", b"Bearer dbk_other"),),
    ((b"duty-subject", token()), (b"duty-subject", token(sub="ben"))),
    ((b"duty-subject", token()), (b"duty-subject", token())),
])  # fmt: skip
def test_headers_sent_twice_choose_nobody(headers: tuple[tuple[bytes, bytes], ...]) -> None:
    """Which of both an intermediary believes is not ours to guess."""
    assert refusal(*headers)[0] == 401


def test_the_same_key_in_two_places_is_one_key() -> None:
    """SDKs of two kinds in one client."""
    assert who(KEY, (b"x-api-key", b"KEY")).tenant == "acme"


@pytest.mark.parametrize("name", [b"duty_subject", b"x-duty-subject", b"duty-subject "])
def test_a_header_that_only_looks_like_ours_says_nothing(name: bytes) -> None:
    """An underscore is no hyphen."""
    assert who((name, token())).subject == ""


def test_a_flood_of_new_subjects_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """What processes remember is bounded; of what was told the oldest goes, a full count of use refuses."""
    monkeypatch.setattr(disclosure, "_MAX_TOLD", 50)
    monkeypatch.setattr(gates, "_MAX_KNOWN", 50)
    state = MemoryState(lambda: NOW, capacity=200)
    settings = Settings.model_validate({"service": {"agreement_version": "1"}})
    told = Disclosure(settings, POLICY, state, lambda: NOW, SECRET)
    agreement = Agreement(settings, POLICY, state, lambda: NOW)

    async def flood() -> None:
        for number in range(500):
            person = Person(subject=f"p{number}", is_signed=True)
            await told.mark_told(person)
            await agreement.accept(person)
        assert len(told._told) == 50 and len(agreement._known) == 50
        assert len(state._remembered.values) <= 200 and state.forgotten > 0
        last = Person(subject="p499", is_signed=True)
        assert await told.is_told(last) and await agreement.is_accepted(last)
        assert not await agreement.is_accepted(Person(subject="p0", is_signed=True))
        with pytest.raises(StateUnavailable):
            for number in range(201):
                await state.touch_usage(f"p{number}", NOW, "2026-03-01", 300)

    asyncio.run(flood())
