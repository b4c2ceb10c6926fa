# SPDX-License-Identifier: Apache-2.0
"""A realtime session as a whole: the handshake, who may end it and how, and the records that it leaves."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import replace
from typing import Any

import orjson
import pytest

from gateway.decisions import Action, Decision, Refusal, Verdict
from gateway.exchange import AgeBand, Person
from gateway.label_files import file_labels
from gateway.media_labels import LabelMedia, MediaLabels
from gateway.pipeline import FailureRule, Side, Stage
from gateway.policies import load
from gateway.settings import Settings
from gateway.state import StateUnavailable
from gateway.switches import Pause
from gateway.upstream import UpstreamFailure, UpstreamRefusal
from labeling.implicit import read
from labeling.sniff import FileFormat
from tests.gateway.realtime_rooms import FORBIDDEN, Talk, created, item, opening, pieces, saying
from tests.gateway.rooms import WAY, Broken, stage
from tests.labeling.conftest import encoded, picture

CURFEW = Refusal(
    Decision("minors", Verdict.BLOCK, Action.REFUSE, reason="curfew"),
    status=403, code="minor_curfew", message="It is time to rest.", in_band=True,
)  # fmt: skip
PNG = encoded(picture(200, 160), "PNG")
FILES = file_labels(Settings(), load(["cn"]), "CODE", None)
CHILD = Person(subject="s", age_band=AgeBand.FROM_8, is_signed=True)


class AsChild:
    """A request duty that knows the person."""

    async def __call__(self, exchange: Any) -> None:
        """Sets the person."""
        exchange.person = CHILD


IDENTIFY = stage("identify", Side.REQUEST, lambda house: AsChild())


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time is looked at as often as the loop turns."""
    monkeypatch.setattr("gateway.realtime._LOOK_EVERY_S", 0)


def test_a_session_is_accepted_behind_its_opening_record() -> None:
    """And behind the model's own acceptance; its headers name the record."""
    talk = Talk(subprotocols=("realtime",)).run()
    assert talk.timeline[:2] == ["record open", "websocket.accept"]
    accept = talk.sent[0]
    assert accept["subprotocol"] == "realtime"
    opened, closed = talk.rooms.log.records()
    assert dict(accept["headers"])[b"duty-record"].decode() == opened["id"] == closed["exchange"]
    assert (opened["wire"], opened["model"], closed["outcome"], closed["status"]) == (
        "openai_realtime",
        "m",
        "completed",
        101,
    )
    assert talk.timeline[-1] == "model closed"


def test_a_conversation_leaves_a_record_for_each_exchange() -> None:
    """Session, item and response; the response's closing record before its last event."""

    async def act(talk: Talk) -> None:
        talk.client(item("hello"), {"type": "response.create"})
        await talk.settle()
        talk.model(*saying("Hello there."))
        await talk.settle()

    talk = Talk().run(act)
    assert talk.asked_for() == ["conversation.item.create", "response.create"]
    assert talk.text() == "AI-generated\n\nHello there.\n\nAI-generated"
    assert talk.outcomes() == ["completed"] * 3
    timeline = talk.timeline
    assert timeline.index("record exchange") < timeline.index("model hears conversation.item.create")
    assert timeline.index("record close") == timeline.index("client hears response.done") - 1
    last = talk.of("response.done")[0]
    record = next(entry for entry in talk.rooms.log.records("close") if entry["exchange"] == last["aigc"]["ProduceID"])
    assert record["tokens"] == {"in": 3, "out": 4}


@pytest.mark.parametrize(
    ("query", "status", "outcome"),
    [("", 400, "bad_request"), ("call_id=x", 400, "bad_request"), (f"model=m&x={FORBIDDEN}", 400, "refused")],
)
def test_a_refused_handshake_is_an_http_answer_with_a_record(query: str, status: int, outcome: str) -> None:
    """In the wire's words; the model is not called."""
    from urllib.parse import quote

    talk = Talk(query=quote(query, safe="=&")).run(leave=False)
    assert talk.status == status and talk.outcomes() == [outcome]
    assert talk.asked == [] and FORBIDDEN not in talk.everything()
    assert talk.timeline[:2] == ["record exchange", "websocket.http.response.start"]


def test_a_server_that_cannot_say_why_closes() -> None:
    """Without the extension for HTTP answers."""
    assert Talk(query="", extensions={}).run(leave=False).closed == 1008


@pytest.mark.parametrize(
    ("failure", "status", "outcome"),
    [
        (UpstreamFailure("upstream_unreachable", 502), 502, "upstream_failed"),
        (UpstreamFailure("upstream_timeout", 504), 504, "upstream_failed"),
        (UpstreamRefusal(401), 401, "upstream_refused"),
    ],
)
def test_a_model_that_is_away_is_an_http_answer(failure: Exception, status: int, outcome: str) -> None:
    """The client was not accepted yet, so its SDK sees a status."""
    talk = Talk(failure=failure).run(leave=False)
    assert talk.status == status and talk.outcomes() == [outcome]
    assert talk.rooms.log.records()[0]["type"] == "open"


@pytest.mark.parametrize(
    ("failure", "status", "outcome"), [(OSError(), 0, "client_gone"), (ValueError(), 503, "failed")]
)
def test_whatever_else_breaks_a_handshake_leaves_a_record(failure: Exception, status: int, outcome: str) -> None:
    """A client that left meanwhile, and what no rule names."""
    talk = Talk(failure=failure).run(leave=False)
    assert talk.status == status and talk.outcomes() == [outcome]


def test_without_a_record_there_is_no_session() -> None:
    """503 where the log is away; the model's side is closed again."""
    talk = Talk()
    talk.rooms.log.broken = frozenset({"open"})
    talk.run(leave=False)
    assert talk.status == 503 and talk.socket.is_closed


def test_a_record_that_cannot_be_kept_ends_the_session() -> None:
    """The item is not forwarded; the client is told."""

    async def act(talk: Talk) -> None:
        talk.rooms.log.broken = frozenset({"exchange"})
        talk.client(item("hello"))
        await talk.settle()

    talk = Talk().run(act, leave=False)
    assert talk.asked_for() == [] and talk.errors() == ["not_recorded"] and talk.closed == 1011


def test_a_broken_duty_refuses_the_handshake() -> None:
    """Fail closed: nothing is accepted."""
    talk = Talk(stages=(stage("broken", Side.REQUEST, lambda house: Broken()), *WAY)).run(leave=False)
    assert talk.status == 503 and talk.asked == [] and "secret words" not in talk.everything()


@pytest.mark.parametrize(
    ("code", "outcome"), [(1000, "completed"), (1005, "client_gone"), (1009, "bad_request"), (1012, "failed")]
)
def test_how_a_client_leaves_is_recorded(code: int, outcome: str) -> None:
    """In order, gone, after a frame that the server refused, or because this process ends."""

    async def act(talk: Talk) -> None:
        talk.leave(code)

    talk = Talk().run(act, leave=False)
    assert talk.outcomes() == [outcome] and talk.socket.is_closed and talk.closed == 0


def test_a_client_that_leaves_in_the_middle_leaves_records_that_say_so() -> None:
    """Of the session, of the answer under way, and of one that was only asked for."""

    async def act(talk: Talk) -> None:
        talk.client({"type": "response.create"}, {"type": "response.create"})
        await talk.settle()
        talk.model(created(), *opening(), *pieces("half an ans", 3))
        await talk.settle()

    talk = Talk().run(act)
    assert talk.outcomes() == ["client_gone"] * 3


@pytest.mark.parametrize("gone", [None, UpstreamFailure("upstream_incomplete", 502)])
def test_a_model_that_leaves_in_the_middle_is_told_to_the_client(gone: Exception | None) -> None:
    """What was let out stays, the response ends as failed, an error follows, and the connection is closed."""

    async def act(talk: Talk) -> None:
        talk.client({"type": "response.create"})
        await talk.settle()
        talk.model(created(), *opening(), *pieces("half an ans", 3), gone)
        await talk.settle()

    talk = Talk().run(act, leave=False)
    assert "half an ans" in talk.text()
    assert talk.of("response.done")[0]["response"]["status"] == "failed"
    assert talk.kinds()[-2:] == ["response.done", "error"] and talk.closed == 1011
    assert talk.outcomes() == ["upstream_failed"] * 2


def test_a_model_that_closes_in_order_ends_the_session_in_order() -> None:
    """Nothing was under way."""

    async def act(talk: Talk) -> None:
        talk.model(None)
        await talk.settle()

    talk = Talk().run(act, leave=False)
    assert (talk.closed, talk.errors(), talk.outcomes()) == (1000, [], ["completed"])


def test_a_binary_frame_ends_the_session() -> None:
    """No event of this wire is binary."""

    async def act(talk: Talk) -> None:
        talk.client_bytes(b"\x00")
        await talk.settle()

    talk = Talk().run(act, leave=False)
    assert (talk.closed, talk.errors(), talk.outcomes()) == (1003, ["unsupported_frame"], ["bad_request"])


@pytest.mark.parametrize("frame", ["{", "[]", '"x"', '{"type": 5}'])
def test_a_model_that_talks_nonsense_ends_the_session(frame: str) -> None:
    """No event of its would be any more trustworthy."""

    async def act(talk: Talk) -> None:
        talk.model(frame)
        await talk.settle()

    talk = Talk().run(act, leave=False)
    assert (talk.closed, talk.errors(), talk.outcomes()) == (1011, ["upstream_invalid"], ["upstream_failed"])


def test_a_curfew_ends_a_session_behind_the_answer_under_way() -> None:
    """What was begun is finished; then the wire's error, a proper close, and records that say why."""

    async def act(talk: Talk) -> None:
        talk.client({"type": "response.create"})
        await talk.settle()
        events = saying("Hello there.")
        talk.model(*events[:4])
        await talk.settle()
        talk.refuses = CURFEW
        talk.rooms.now += 31
        await talk.settle()
        assert talk.closed == 0
        talk.client({"type": "response.create"})
        await talk.settle()
        assert talk.errors() == ["minor_curfew"] and talk.asked_for() == ["response.create"]
        talk.model(*events[4:])
        await talk.settle()

    talk = Talk(stages=(IDENTIFY, *WAY)).run(act, leave=False)
    assert "Hello there." in talk.text()
    assert (talk.closed, talk.errors()[-1], talk.kinds()[-1]) == (1008, "minor_curfew", "error")
    assert talk.outcomes() == ["refused", "completed", "refused"]
    reasons = [record["decisions"][-1].get("reason") for record in talk.rooms.log.records() if record.get("decisions")]
    assert reasons[0] == "curfew"


def test_a_pause_ends_a_session_and_the_answer_under_way() -> None:
    """At once, with the wire's error and a close that says to try again later; the records say `stopped`."""

    async def act(talk: Talk) -> None:
        talk.client({"type": "response.create"})
        await talk.settle()
        talk.model(*saying("Hello there.")[:4])
        await talk.settle()
        switches = talk.rooms.house.switches
        await switches.place(Pause("pause_2", "t", "drill", talk.rooms.now, model="another"))
        await talk.settle()
        assert talk.closed == 0
        await switches.place(Pause("pause_1", "t", "drill", talk.rooms.now, wire="openai_realtime"))
        await talk.settle()
        await talk.rooms.house.standing.close()

    talk = Talk().run(act, leave=False)
    assert (talk.closed, talk.errors(), talk.outcomes()) == (1013, ["paused"], ["stopped", "stopped"])
    rules = [item.get("rule") for record in talk.rooms.log.records("close") for item in record["decisions"]]
    assert "pause_1" in rules and "pause_2" not in rules


def test_a_silent_session_uses_no_minutes() -> None:
    """Whoever leaves it open and does nothing is not using the service."""

    async def act(talk: Talk) -> None:
        await talk.settle()
        talk.refuses = CURFEW
        talk.rooms.now += 31
        await talk.settle()

    talk = Talk(stages=(IDENTIFY, *WAY)).run(act)
    assert talk.outcomes() == ["completed"] and talk.errors() == []


def test_counters_that_are_away_do_not_end_what_has_begun() -> None:
    """It is counted as an error; the next request is refused by its own stage."""

    async def act(talk: Talk) -> None:
        talk.client({"type": "input_audio_buffer.clear"})
        await talk.settle()
        talk.refuses = StateUnavailable("away")
        talk.rooms.now += 31
        await talk.settle()

    talk = Talk(stages=(IDENTIFY, *WAY)).run(act)
    assert talk.outcomes() == ["completed"]


def test_a_reminder_that_falls_due_stands_in_the_next_answer() -> None:
    """In its last event, beside the label."""
    notice = {"kind": "minor_break", "text": "Take a break."}

    async def act(talk: Talk) -> None:
        talk.client({"type": "input_audio_buffer.clear"})
        await talk.settle()
        talk.admission = replace(talk.admission, notices=(notice,))
        talk.rooms.now += 31
        await talk.settle()
        talk.client({"type": "response.create"})
        await talk.settle()
        talk.model(*saying("Hello."))
        await talk.settle()

    talk = Talk(stages=(IDENTIFY, *WAY)).run(act)
    assert notice in talk.of("response.done")[0]["notices"]


def test_a_session_has_a_longest_time() -> None:
    """For so long the handshake's identity is believed."""

    async def act(talk: Talk) -> None:
        talk.rooms.now += 3_601
        await talk.settle()

    talk = Talk().run(act, leave=False)
    assert (talk.closed, talk.errors(), talk.outcomes()) == (1000, ["session_expired"], ["completed"])


@pytest.mark.parametrize("is_begun", [False, True])
def test_a_model_that_stands_still_is_given_up(is_begun: bool) -> None:
    """Before the first event of an answer, and within one."""

    async def act(talk: Talk) -> None:
        talk.client({"type": "response.create"})
        await talk.settle()
        if is_begun:
            talk.model(created())
            await talk.settle()
        talk.rooms.now += 121
        await talk.settle()

    talk = Talk().run(act, leave=False)
    assert (talk.closed, talk.errors()) == (1011, ["upstream_timeout"])
    assert talk.outcomes() == ["upstream_failed"] * 2


def test_a_shutdown_leaves_records() -> None:
    """A task that is cancelled writes them first."""
    talk = Talk()

    async def whole() -> None:
        from gateway.realtime import run_session

        talk._from_client.put_nowait({"type": "websocket.connect"})
        walking = asyncio.ensure_future(
            run_session(talk.rooms.runner, talk.scope, talk._from_client.get, talk._send)  # type: ignore[arg-type]
        )
        await talk.settle()
        talk.client({"type": "response.create"})
        await talk.settle()
        walking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await walking

    asyncio.run(whole())
    assert talk.outcomes() == ["failed", "failed"] and talk.socket.is_closed


def test_only_websockets_are_walked() -> None:
    """Anything else is not ours to answer."""

    async def whole() -> list[Any]:
        from gateway.realtime import run_session

        talk = Talk()
        talk.leave()
        await run_session(talk.rooms.runner, talk.scope, talk._from_client.get, talk._send)  # type: ignore[arg-type]
        return list(talk.sent)

    assert asyncio.run(whole()) == []


def test_a_pause_ends_a_session_in_which_nothing_happens() -> None:
    """It does not wait for the next request of whoever leaves the connection open."""

    async def act(talk: Talk) -> None:
        await talk.settle()
        await talk.rooms.house.switches.place(Pause("pause_1", "t", "drill", talk.rooms.now, wire="openai_realtime"))
        await talk.settle()
        await talk.rooms.house.standing.close()

    talk = Talk().run(act, leave=False)
    assert (talk.closed, talk.errors(), talk.outcomes()) == (1013, ["paused"], ["stopped"])


def test_violations_count_towards_measures() -> None:
    """Refused prompts and stopped answers alike, each once; a harmless session does not end the row."""

    async def act(talk: Talk) -> None:
        talk.client(item(FORBIDDEN))
        await talk.settle()
        talk.client({"type": "response.create"})
        await talk.settle()
        talk.model(*saying(f"Hello {FORBIDDEN} there."))
        await talk.settle()

    talk = Talk(stages=(IDENTIFY, *WAY)).run(act)
    (row,) = talk.rooms.house.standing.shelf("strikes").values()
    assert orjson.loads(row.value or "")["in_a_row"] == 2
    assert talk.outcomes() == ["refused", "stopped", "completed"]


def test_a_picture_inside_a_text_gets_its_labels() -> None:
    """The payload is held until it is whole; the text around it, and what repeats it, stay as they were."""
    media = MediaLabels(FILES, 1, 1 << 24)
    bare = base64.b64encode(PNG).decode()
    text = f"Look: ![a cat](data:image/png;base64,{bare}) done."

    def made(house: Any, exchange: Any) -> LabelMedia:
        return LabelMedia(exchange, media, house.meters)

    async def act(talk: Talk) -> None:
        talk.client({"type": "response.create"})
        await talk.settle()
        talk.model(*saying(text, 997))
        while "response.done" not in talk.kinds():
            await asyncio.sleep(0.005)
        await media.close()

    stages = (*WAY, Stage("label media", Side.ANSWER, "labels", FailureRule.STOP, media=made))
    talk = Talk(stages=stages).run(act)
    said = talk.text()
    before, _, rest = said.partition("base64,")
    payload, _, after = rest.partition(")")
    assert before.endswith("Look: ![a cat](data:image/png;") and after.startswith(" done.")
    assert read(base64.b64decode(payload), FileFormat.PNG)
    assert bare not in talk.everything()
    (done,) = talk.of("response.output_text.done")
    assert done["text"] == said
    assert talk.outcomes() == ["completed", "completed"]
