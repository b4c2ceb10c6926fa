# SPDX-License-Identifier: Apache-2.0
"""Reports arrive: kept first, signed, tried again by one process at a time, proved, given up only after long."""

from __future__ import annotations

import asyncio
import base64
import email
import email.policy
import hashlib
import hmac
import socketserver
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from gateway.delivery import (
    LONGEST_RETRY_S,
    Courier,
    Delivery,
    DeliveryError,
    Mail,
    NotDelivered,
    Outbox,
    State,
    Via,
    Webhook,
    channels_of,
    new_delivery_id,
)
from gateway.own_records import OwnRecords
from gateway.settings import DeliverySettings, SettingsError
from gateway.standing import Standing
from gateway.state import MemoryOrders

NOW = 1_700_000_000.0
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"


def payload() -> bytes:
    """What a report looks like in the outbox."""
    section = {"title": "一、报告单位", "fields": [{"name": "单位名称", "value": "示例科技"}]}
    report = {"title": "安全事件报告", "note": "草稿", "sections": [section], "gaps": []}
    document = {"name": "inc_1-first-zh.docx", "media_type": DOCX, "base64": base64.b64encode(b"PK docx").decode()}
    return orjson.dumps({"delivery": "dlv_1", "incident": "inc_1", "report": report, "document": document})


def delivery(number: int = 1, **more: Any) -> Delivery:
    """A delivery that is due."""
    fields = {"via": Via.WEBHOOK, "created_at": NOW, "payload": payload(), **more}
    return Delivery(f"dlv_{number}", "inc_1", "first", "zh", actor="t", **fields)


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    """An outbox of its own."""
    made = Outbox(tmp_path / "outbox.db")
    yield made
    made.close()


class Receiver:
    """A way out that fails as often as it is told to."""

    def __init__(self, fails: int = 0) -> None:
        self.fails = fails
        self.sent: list[str] = []

    async def send(self, delivery: Delivery, now: float) -> str:
        """Take it, or not yet."""
        if self.fails:
            self.fails -= 1
            raise NotDelivered("status 503")
        self.sent.append(delivery.id)
        return "status 202"


class House:
    """A courier with a clock that moves when told, and the records it made."""

    def __init__(self, outbox: Outbox, receiver: Any) -> None:
        self.now = NOW
        self.kept: list[dict[str, Any]] = []
        clock = lambda: self.now  # noqa: E731
        self.standing = Standing(MemoryOrders(clock), clock, poll_s=60.0, stale_after_s=1e9)
        self.courier = Courier(outbox, {Via.WEBHOOK: receiver}, OwnRecords(self.record, self.standing), clock, 1.0)

    async def record(self, fields: Any) -> str:
        """Keep a record."""
        self.kept.append(dict(fields))
        return "rec"


def test_a_report_is_tried_until_it_arrives_and_proved(outbox: Outbox) -> None:
    """With longer and longer pauses; the record names attempts, answer and digest, and holds no report."""
    house = House(outbox, receiver := Receiver(fails=3))
    outbox.put(delivery())

    async def scene() -> list[float]:
        pauses = []
        while not receiver.sent:
            assert await house.courier.send_one()
            held = outbox.get("dlv_1")
            assert held is not None
            if held.state is State.WAITING:
                assert held.problem == "status 503" and not await house.courier.send_one()
                pauses.append(held.next_at - house.now)
                house.now = held.next_at
        return pauses

    assert asyncio.run(scene()) == [5.0, 10.0, 20.0]
    held = outbox.get("dlv_1")
    assert held is not None and (held.state, held.attempts, held.proof) == (State.DELIVERED, 4, "status 202")
    assert house.kept == [
        {
            "type": "incident", "event": "report_delivered", "incident": "inc_1", "delivery": "dlv_1",
            "report": "first", "via": "webhook", "answer": "status 202", "attempts": 4,
            "sent": "sha256:" + hashlib.sha256(payload()).hexdigest(), "actor": "t",
        }
    ]  # fmt: skip
    assert outbox.counts() == {State.WAITING: 0, State.DELIVERED: 1, State.FAILED: 0}


def test_what_cannot_be_delivered_for_long_is_given_up_on_record(outbox: Outbox) -> None:
    """Not before the time that the settings name, and never silently."""
    house = House(outbox, Receiver(fails=10_000))
    outbox.put(delivery())

    async def scene() -> None:
        while (held := outbox.get("dlv_1")) is not None and held.state is State.WAITING:
            house.now = max(house.now, held.next_at)
            await house.courier.send_one()

    asyncio.run(scene())
    held = outbox.get("dlv_1")
    assert held is not None and held.state is State.FAILED
    assert NOW + 3_600 <= held.ended_at <= NOW + 3_600 + LONGEST_RETRY_S
    assert [item["event"] for item in house.kept] == ["report_given_up"]


def test_one_process_at_a_time_has_a_delivery(tmp_path: Path) -> None:
    """And another takes it over where that one died."""
    one, two = Outbox(tmp_path / "o.db"), Outbox(tmp_path / "o.db")
    one.put(delivery(1))
    one.put(delivery(2))
    claimed = [one.claim(NOW), two.claim(NOW), one.claim(NOW), two.claim(NOW)]
    assert sorted(item.id for item in claimed if item is not None) == ["dlv_1", "dlv_2"]
    late = two.claim(NOW + 3_600)
    assert late is not None and late.attempts == 2
    assert stat.S_IMODE((tmp_path / "o.db").stat().st_mode) == 0o600
    one.close()
    two.close()


def test_what_is_in_the_outbox_survives_a_restart(tmp_path: Path) -> None:
    """It is there, the newest first, by incident where asked."""
    first = Outbox(tmp_path / "o.db")
    first.put(delivery(1))
    first.put(delivery(2, created_at=NOW + 1))
    first.close()
    again = Outbox(tmp_path / "o.db")
    assert [item.id for item in again.list()] == ["dlv_2", "dlv_1"]
    assert [item.id for item in again.list(incident="inc_1", limit=1)] == ["dlv_2"]
    assert again.list(incident="inc_9") == [] and again.get("dlv_9") is None
    with pytest.raises(DeliveryError):
        again.put(delivery(1))
    again.close()
    (tmp_path / "text.db").write_text("no database at all, but long enough to be taken for one" * 20)
    with pytest.raises(DeliveryError, match=r"text\.db"):
        Outbox(tmp_path / "text.db")


def test_the_courier_runs_by_itself_and_is_woken(outbox: Outbox) -> None:
    """What was put just now leaves at once."""
    house = House(outbox, receiver := Receiver())

    async def scene() -> None:
        house.courier.start()
        house.courier.start()
        await asyncio.sleep(0)
        outbox.put(delivery())
        house.courier.wake()
        async with asyncio.timeout(10):
            while not house.kept:
                await asyncio.sleep(0.005)
        await house.courier.close()
        await house.standing.close()

    asyncio.run(scene())
    assert receiver.sent == ["dlv_1"]


def test_a_way_that_is_no_longer_configured_is_a_problem_like_others(outbox: Outbox) -> None:
    """It waits for the settings to be mended."""
    house = House(outbox, Receiver())
    outbox.put(delivery(via=Via.MAIL))
    asyncio.run(house.courier.send_one())
    held = outbox.get("dlv_1")
    assert held is not None and (held.state, held.problem) == (State.WAITING, "not configured")


def test_a_webhook_is_signed_and_can_be_told_from_its_repetition() -> None:
    """The receiver checks the signature over time and body with the shared secret alone."""
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(202)

    async def scene() -> str:
        hook = Webhook("https://authority.example/in", b"key", 5.0, httpx.MockTransport(answer))
        try:
            await hook.send(delivery(), NOW)
            return await hook.send(delivery(), NOW + 5)
        finally:
            await hook.close()

    assert asyncio.run(scene()) == "status 202"
    one, two = seen
    assert one.headers["idempotency-key"] == two.headers["idempotency-key"] == "dlv_1"
    parts = dict(part.split("=", 1) for part in one.headers["dutybound-signature"].split(","))
    assert parts["t"] == str(int(NOW))
    signed = hmac.new(b"key", parts["t"].encode() + b"." + one.content, hashlib.sha256).hexdigest()
    assert hmac.compare_digest(parts["v1"], signed)
    assert one.headers["dutybound-signature"] != two.headers["dutybound-signature"]


@pytest.mark.parametrize("wrong", [httpx.Response(500), httpx.Response(302, headers={"location": "https://x"}), None])
def test_anything_but_an_arrival_is_none(wrong: httpx.Response | None) -> None:
    """Errors, redirections, and a connection that fails; the problem is a code, not their words."""

    def answer(request: httpx.Request) -> httpx.Response:
        if wrong is None:
            raise httpx.ConnectError("canary at 10.0.0.1")
        return wrong

    async def scene() -> None:
        hook = Webhook("https://authority.example/in", b"key", 5.0, httpx.MockTransport(answer))
        try:
            await hook.send(delivery(), NOW)
        finally:
            await hook.close()

    with pytest.raises(NotDelivered) as caught:
        asyncio.run(scene())
    assert caught.value.problem == (f"status {wrong.status_code}" if wrong is not None else "ConnectError")


class _Mailbox(socketserver.StreamRequestHandler):
    """A mail server that takes one message, or refuses the receiver."""

    server: Any

    def handle(self) -> None:
        """The conversation of RFC 5321."""
        self.wfile.write(b"220 box\r\n")
        for line in self.rfile:
            verb = line[:4].upper().strip()
            if verb == b"RCPT" and self.server.refuses:
                self.wfile.write(b"550 canary no such box\r\n")
            elif verb == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                body = b""
                while (part := self.rfile.readline()) != b".\r\n":
                    body += part
                self.server.taken.append(body)
                self.wfile.write(b"250 taken\r\n")
            elif verb == b"QUIT":
                self.wfile.write(b"221 bye\r\n")
                return
            else:
                self.wfile.write(b"250 ok\r\n")


@pytest.mark.parametrize("refuses", [False, True])
def test_a_mail_carries_the_document(refuses: bool) -> None:
    """Text to read, the document to file, one Message-ID for all attempts; a refusal is a code."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Mailbox) as server:
        server.taken, server.refuses = [], refuses  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        settings = DeliverySettings(
            mail_host="127.0.0.1", mail_port=server.server_address[1], mail_tls="none",
            mail_from="duty@example.com", mail_to=("authority@example.org",), timeout_s=10.0,
        )  # fmt: skip
        mail = Mail(settings, "")
        try:
            if refuses:
                with pytest.raises(NotDelivered) as caught:
                    asyncio.run(mail.send(delivery(via=Via.MAIL), NOW))
                assert "canary" not in caught.value.problem
                return
            assert asyncio.run(mail.send(delivery(via=Via.MAIL), NOW)) == "smtp 250"
            (taken,) = server.taken  # type: ignore[attr-defined]
        finally:
            server.shutdown()
    message: Any = email.message_from_bytes(taken, policy=email.policy.default)
    assert message["Subject"] == "安全事件报告" and message["To"] == "authority@example.org"
    assert message["Message-ID"] == "<dlv_1@example.com>"
    assert "单位名称: 示例科技" in message.get_body().get_content()
    (attached,) = message.iter_attachments()
    assert attached.get_filename() == "inc_1-first-zh.docx" and attached.get_content_type() == DOCX
    assert attached.get_content() == b"PK docx"


def test_a_mail_server_that_is_away_is_a_problem_by_name() -> None:
    """Without its address."""
    settings = DeliverySettings(
        mail_host="127.0.0.1", mail_port=1, mail_tls="none", mail_from="a@b", mail_to=("c@d",), timeout_s=1.0
    )
    with pytest.raises(NotDelivered) as caught:
        asyncio.run(Mail(settings, "").send(delivery(via=Via.MAIL), NOW))
    assert caught.value.problem == "ConnectionRefusedError"


def test_the_ways_out_are_those_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """A webhook without a secret and a mail without a receiver are refused at the start."""
    assert channels_of(DeliverySettings()) == {}
    with pytest.raises(SettingsError, match="webhook_secret_env"):
        channels_of(DeliverySettings(webhook_url="https://x.example"))
    with pytest.raises(SettingsError, match="mail_to"):
        channels_of(DeliverySettings(mail_host="mail.example", mail_from="a@b"))
    monkeypatch.setenv("HOOK_SECRET", "s")
    monkeypatch.setenv("MAIL_PASSWORD", "p")

    async def scene() -> set[Via]:
        found = channels_of(
            DeliverySettings(
                webhook_url="https://x.example", webhook_secret_env="HOOK_SECRET", mail_host="m", mail_from="a@b",
                mail_to=("c@d",), mail_user="u", mail_password_env="MAIL_PASSWORD",
            )
        )  # fmt: skip
        for channel in found.values():
            await channel.close()
        return set(found)

    assert asyncio.run(scene()) == {Via.WEBHOOK, Via.MAIL}
    assert new_delivery_id(bytes) == "dlv_" + "00" * 8
