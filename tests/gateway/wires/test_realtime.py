# SPDX-License-Identifier: Apache-2.0
"""The realtime wire: what a handshake and an event of the client's mean, and how a response is read and written."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.decisions import Decision, Refusal
from gateway.events import Event, Finish, TextDelta
from gateway.exchange import Exchange, Outcome, Prompt
from gateway.filtering import AnswerFilter
from gateway.notices import NoticesInAnswer
from gateway.text_labels import LabelAnswer
from gateway.wires import ROUTES
from gateway.wires.interfaces import BadAnswer, BadRequest
from gateway.wires.realtime import PATH, OpenAIRealtime, error_event, read_handshake
from gateway.wires.realtime_answer import ResponseReader
from gateway.wires.realtime_parts import is_name
from gateway.wires.realtime_request import read_client_event
from gateway.wires.realtime_writer import STOPPED, ResponseWriter
from tests.gateway.realtime_rooms import SOUND, at, created, done, message, opening, pieces, saying, sound, speaking
from tests.gateway.wires.driver import FILTER, HEAD_EN, TAIL_EN, TERM, labels

RECORD = "0199a000-0000-7000-8000-000000000001"
SHORT = st.text(max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | SHORT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SHORT, inner, max_size=3),
    max_leaves=12,
)
MEMBERS = st.dictionaries(
    st.sampled_from(["response", "item", "part", "delta", "text", "item_id", "output_index", "x"]),
    st.none()
    | st.integers(-3, 3)
    | SHORT
    | st.lists(SHORT, max_size=2)
    | st.dictionaries(
        st.sampled_from(["id", "content", "output", "text", "role", "usage", "x y"]),
        SHORT | st.lists(st.none() | SHORT, max_size=2),
        max_size=3,
    ),
    max_size=5,
)
KINDS = (
    "response.output_text.delta", "response.output_text.done", "response.output_audio.delta", "response.new",
    "response.content_part.added", "response.output_item.added", "response.done", "conversation.item.done",
)  # fmt: skip


class Response:
    """One response through reader, duties and writer, as a session drives them, without anything around them."""

    def __init__(self, *, follows: bool = False, is_beta: bool = False, opening: str = "") -> None:
        self.exchange = Exchange(RECORD, 0.0, "openai_realtime", PATH, prompt=Prompt("m", True, [], {}))
        self.exchange.label = labels().envelope(RECORD)
        self.exchange.language = "en"
        self.reader = ResponseReader(1 << 20)
        self.ids = 0
        self.writer = ResponseWriter(
            self.exchange, self.reader.parts, "resp_1", self._new_id, is_beta=is_beta, sound_follows=follows
        )
        self.writer.opening = opening
        duties = (AnswerFilter(self.exchange, FILTER), LabelAnswer(self.exchange, labels()))
        self._duties = (*duties, NoticesInAnswer(self.exchange))
        self.sent: list[str] = []

    def _new_id(self) -> str:
        self.ids += 1
        return f"event_ours_{self.ids}"

    def feed(self, *events: Mapping[str, Any]) -> Response:
        """Take events until the response has ended."""
        for event in events:
            if self.writer.last is not None:
                break
            raw = json.dumps(event)
            out, found = self.reader.read(json.loads(raw), raw)
            self.writer.put(out)
            for duty in self._duties:
                found = duty.feed(found)
            self.writer.write(found)
            if self.exchange.outcome is Outcome.STOPPED:
                self.sent += self.writer.close_down(*STOPPED)
            else:
                self.sent += self.writer.flush()
            if self.writer.last is not None:
                self.sent.append(self.writer.last)
        return self

    @property
    def events(self) -> list[dict[str, Any]]:
        """What has left."""
        return [json.loads(text) for text in self.sent]

    def kinds(self) -> list[str]:
        """The types of what has left."""
        return [event["type"] for event in self.events]

    def said(self, kind: str = "response.output_text.delta") -> str:
        """What the deltas say together."""
        return "".join(event["delta"] for event in self.events if event["type"] == kind)

    def sounds(self) -> list[str]:
        """The sound that has left."""
        return [event["delta"] for event in self.events if "audio.delta" in event["type"]]


def handshake(query: str = "model=m", headers: Iterable[tuple[bytes, bytes]] = (), *subprotocols: str) -> Any:
    return read_handshake(query, [(b"host", b"here"), *headers], subprotocols, ("https://app.example",))


# The handshake.


def test_a_browser_says_in_subprotocols_what_it_cannot_say_in_headers() -> None:
    """OpenAI's three, and ours for the person; the answer names `realtime` only."""
    offered = ("realtime", "openai-insecure-api-key.sk-1", "openai-beta.realtime-v1", "duty-subject.a.b.c")
    asked = handshake("model=m&voice=x", [(b"authorization", b"Bearer old"), (b"sec-websocket-key", b"k")], *offered)
    assert asked.subprotocol == "realtime" and asked.is_beta and asked.model == "m"
    assert dict(asked.headers) == {
        b"host": b"here", b"authorization": b"Bearer sk-1", b"openai-beta": b"realtime=v1", b"duty-subject": b"a.b.c",
    }  # fmt: skip
    assert [text.text for text in asked.texts] == ["model", "m", "voice", "x"]
    assert handshake("model=m", [(b"openai-beta", b"realtime=v1")]).is_beta
    assert not handshake().is_beta and handshake().subprotocol == ""


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("", "missing_required_parameter"),
        ("call_id=x", "unsupported_parameter"),
        ("intent=other", "missing_required_parameter"),
    ],
)
def test_a_handshake_that_cannot_be_served_is_told_why(query: str, code: str) -> None:
    """Before anything is asked of the model."""
    with pytest.raises(BadRequest) as refused:
        handshake(query)
    assert refused.value.code == code


def test_a_transcription_session_needs_no_model() -> None:
    """As the beta has it."""
    assert handshake("intent=transcription").model == ""


@pytest.mark.parametrize(
    ("origin", "may"), [(b"https://here", True), (b"https://app.example", True), (b"https://evil", False)]
)
def test_only_pages_that_are_meant_to_may_open_a_session(origin: bytes, may: bool) -> None:
    """A browser lets any page open a WebSocket to anywhere and read what comes."""
    if may:
        assert handshake("model=m", [(b"origin", origin)]).model == "m"
    else:
        with pytest.raises(BadRequest, match="origin_not_allowed"):
            handshake("model=m", [(b"origin", origin)])


def test_the_path_without_an_upgrade_says_what_it_wants() -> None:
    """426, in OpenAI's words; its other members are those of a wire that answers nothing."""
    wire = next(route.wire for route in ROUTES if route.path == PATH)
    assert isinstance(wire, OpenAIRealtime)
    with pytest.raises(BadRequest) as refused:
        wire.read_request(PATH, "", b"")
    assert refused.value.status == 426
    assert wire.call(PATH, "model=m", Prompt("m", True, [], {})).path == "/v1/realtime?model=m"
    refusal = Refusal(Decision("d", "pass", "refuse"), status=400, code="c", message="m")  # type: ignore[arg-type]
    assert wire.refusal(Exchange(RECORD, 0.0, "w", PATH), refusal) is None
    assert json.loads(wire.error(400, "c", "m"))["error"]["code"] == "c"
    assert wire.reader(Prompt("m", False, [], {}), 100) and wire.writer(Exchange(RECORD, 0.0, "w", PATH))


def test_an_error_event_names_the_clients_event_and_our_record() -> None:
    """As the SDK reads it."""
    event = json.loads(error_event("event_1", 400, "c", "m", "event_2", RECORD))
    assert event == {
        "type": "error", "event_id": "event_1", "duty_record": RECORD,
        "error": {"type": "invalid_request_error", "code": "c", "message": "m", "param": None, "event_id": "event_2"},
    }  # fmt: skip


# The client's events.


def read(event: Mapping[str, Any] | str) -> Any:
    return read_client_event(event if isinstance(event, str) else json.dumps(event))


def test_every_text_that_a_model_reads_is_found() -> None:
    """Instructions, tools, parts of one item as one text, results of tools, names of members."""
    event = read({"type": "session.update", "session": {"instructions": "be kind", "tools": [{"name": "t", "x y": 1}]}})
    assert {"be kind", "t", "x y"} <= {text.text for text in event.texts}
    content = [{"type": "input_text", "text": "fo"}, {"type": "input_audio", "audio": "AAAA", "transcript": "rb"}]
    event = read({"type": "conversation.item.create", "item": {"type": "message", "role": "user", "content": content}})
    assert [(text.role, text.text) for text in event.texts] == [("user", "forb")]
    assert event.has_sound
    event = read({"type": "conversation.item.create", "item": {"type": "function_call_output", "output": "found it"}})
    assert [(text.role, text.text) for text in event.texts] == [("tool", "found it")]
    picture = [
        {"type": "input_image", "image_url": "data:image/png;base64,AAAA"},
        {"type": "input_image", "image_url": "http://x"},
    ]
    item = {"type": "message", "role": "user", "content": picture}
    event = read(
        {"type": "response.create", "response": {"instructions": "i", "input": [item], "metadata": {"k": "v"}}}
    )
    assert {"i", "http://x", "v", "data:image/png;base64"} <= {text.text for text in event.texts}
    assert "AAAA" not in json.dumps([text.text for text in event.texts])


@pytest.mark.parametrize(
    ("event", "code"),
    [
        ("{", "invalid_json"),
        ("[]", "invalid_type"),
        ("{}", "missing_required_parameter"),
        ({"type": "session.close"}, "unknown_event"),
        ({"type": "response.cancel", "event_id": 5}, "invalid_type"),
        ({"type": "response.cancel", "event_id": "x" * 513}, "invalid_value"),
        ({"type": "input_audio_buffer.append", "audio": "no base64"}, "invalid_value"),
        ({"type": "input_audio_buffer.append"}, "missing_required_parameter"),
        ({"type": "conversation.item.create"}, "missing_required_parameter"),
        ({"type": "response.create", "response": {"input": ["x"]}}, "invalid_type"),
        ({"type": "conversation.item.create", "item": {"content": [{"audio": "§"}]}}, "invalid_value"),
        ('{"type": "response.create", "response": ' + '{"a":' * 200 + "1" + "}" * 201, "invalid_json"),
    ],
)
def test_an_event_that_cannot_be_read_is_refused_by_name(event: Any, code: str) -> None:
    """With our own path of the field, never the client's words."""
    with pytest.raises(BadRequest) as refused:
        read(event)
    assert refused.value.code == code


@given(JSON)
def test_any_json_is_read_or_refused(value: Any) -> None:
    """And everything that is read is forwarded as it was checked: no string of it is overlooked but names and media."""
    for kind in ("session.update", "conversation.item.create", "response.create"):
        member = {"session.update": "session", "conversation.item.create": "item", "response.create": "response"}[kind]
        try:
            event = read({"type": kind, member: value})
        except BadRequest:
            continue
        assert json.loads(event.encoded()) == event.tree


# Responses.


@pytest.mark.parametrize("split", [1, 2, 3, 7, 100])
def test_a_response_says_the_same_however_it_is_cut(split: int) -> None:
    """Label before and behind, in the deltas and in whatever repeats them; the seven keys first and last."""
    text = "Hello there, all of you."
    response = Response().feed(*saying(text, split))
    whole = HEAD_EN + text + TAIL_EN
    assert response.said() == whole
    by_kind = {event["type"]: event for event in response.events}
    assert by_kind["response.output_text.done"]["text"] == whole
    assert by_kind["response.content_part.done"]["part"]["text"] == whole
    assert by_kind["response.output_item.done"]["item"]["content"][0]["text"] == whole
    last = response.events[-1]
    assert last["response"]["output"][0]["content"][0]["text"] == whole
    assert response.events[0]["aigc"] == last["aigc"] == last["response"]["aigc"] == response.exchange.label
    assert last["type"] == "response.done" and last["response"]["status"] == "completed"
    ids = [event["event_id"] for event in response.events if "event_id" in event]
    assert len(set(ids)) == len(ids)


def test_a_member_that_comes_twice_leaves_once() -> None:
    """One parser reads the first and another the last: only what was looked at leaves."""
    response = Response().feed(created(), *opening(), *pieces("fine.", 5))
    raw = json.dumps(pieces(" More.", 6)[0]).replace('"delta"', f'"delta": "{TERM}", "delta"')
    out, events = response.reader.read(json.loads(raw), raw)
    response.writer.put(out)
    response.writer.write(events)
    (sent,) = response.writer.flush()
    assert TERM not in sent and json.loads(sent)["delta"] == " More."


def test_what_no_duty_touches_goes_out_as_it_came() -> None:
    """Byte for byte."""
    events = saying("Hello there.", 6)
    response = Response().feed(*events)
    untouched = [json.dumps(events[3 + 1]), json.dumps(events[1])]
    assert all(text in response.sent for text in untouched)


@pytest.mark.parametrize("split", [1, 2, 3, 4, 100])
@pytest.mark.parametrize("word", [TERM, "forbiddenword"])
def test_a_forbidden_word_never_leaves(word: str, split: int) -> None:
    """And the response ends in the wire's own words, with everything that was begun closed."""
    response = Response().feed(*saying(f"fine {word} more", split))
    assert word not in "".join(response.sent) and "more" not in "".join(response.sent)
    assert word[:4] not in response.said()
    last = response.events[-1]["response"]
    assert (last["status"], last["status_details"]) == (
        "incomplete",
        {"type": "incomplete", "reason": "content_filter"},
    )
    assert response.said().startswith(HEAD_EN + "fine ")
    for kind in ("output_text.done", "content_part.done", "output_item.done"):
        assert response.kinds().count(f"response.{kind}") == 1
    assert last["output"][0]["content"][0]["text"] == response.said()
    assert last["output"][0]["status"] == "incomplete"


def test_a_word_in_a_repeat_that_no_delta_said_never_leaves() -> None:
    """`.done` alone, an item alone, the last event alone."""
    text = f"fine {TERM}"
    whole = message("resp_1", text)
    for late in (
        {"type": "response.output_text.done", **at(), "text": text},
        {"type": "response.content_part.done", **at(), "part": {"type": "text", "text": text}},
        {"type": "response.output_item.done", "response_id": "resp_1", "output_index": 0, "item": whole},
        {"type": "conversation.item.done", "item": whole},
        done("resp_1", whole),
    ):
        response = Response().feed(created(), *opening(), late)
        assert TERM not in "".join(response.sent), late["type"]
        assert response.events[-1]["response"]["status"] == "incomplete", late["type"]


def test_a_text_without_deltas_is_said_by_a_delta_of_ours() -> None:
    """Whoever adds up deltas has all of it."""
    response = Response().feed(
        created(),
        *opening(),
        {"type": "response.output_text.done", **at(), "text": "all of it"},
        done("resp_1", message("resp_1", "all of it")),
    )
    assert response.said() == f"{HEAD_EN}all of it{TAIL_EN}"


def test_a_repeat_that_contradicts_its_deltas_says_what_was_let_out() -> None:
    """Nobody looked at what it said."""
    late = {"type": "response.output_text.done", **at(), "text": f"other {TERM}"}
    response = Response().feed(created(), *opening(), *pieces("one", 3), late, done())
    assert {event["type"]: event for event in response.events}["response.output_text.done"][
        "text"
    ] == f"{HEAD_EN}one{TAIL_EN}"


def test_masked_words_stay_masked_in_every_repeat() -> None:
    """A mask that the last event takes off is none."""
    response = Response().feed(*saying("a maskedword b", 3))
    assert "maskedword" not in "".join(response.sent)
    assert response.said() == f"{HEAD_EN}a ********** b{TAIL_EN}"
    assert response.events[-1]["response"]["output"][0]["content"][0]["text"] == response.said()


@pytest.mark.parametrize("split", [1, 2, 5, 100])
def test_arguments_of_calls_are_guarded_and_never_written_into(split: int) -> None:
    """Streamed, in `.done`, in items; spelt in escapes too; and the name of the call."""

    def call(arguments: str, name: str = "look_up") -> list[dict[str, Any]]:
        item = {"id": "item_f", "type": "function_call", "name": name, "call_id": "call_1", "arguments": arguments}
        place = {"response_id": "resp_1", "item_id": "item_f", "output_index": 0, "call_id": "call_1"}
        kind = "response.function_call_arguments"
        return [
            created(),
            {
                "type": "response.output_item.added",
                "response_id": "resp_1",
                "output_index": 0,
                "item": {**item, "arguments": ""},
            },
            *({**piece, **place} for piece in pieces(arguments, split, kind)),
            {"type": f"{kind}.done", **place, "name": name, "arguments": arguments},
            {"type": "response.output_item.done", "response_id": "resp_1", "output_index": 0, "item": item},
            done("resp_1", item),
        ]

    harmless = '{"q": "天气", "n": 3}'
    response = Response().feed(*call(harmless))
    assert response.said("response.function_call_arguments.delta") == harmless
    assert response.events[-1]["response"]["output"][0]["arguments"] == harmless
    for arguments in (f'{{"q": "{TERM}"}}', json.dumps({"q": TERM})):
        response = Response().feed(*call(arguments))
        assert response.events[-1]["response"]["status"] == "incomplete"
        assert TERM not in "".join(response.sent) and json.dumps(TERM)[1:-1] not in response.said(
            "response.function_call_arguments.delta"
        )
    response = Response().feed(*call("{}", name="forbiddenword"))
    assert "forbiddenword" not in "".join(response.sent)


def test_sound_leaves_behind_all_of_its_words_and_behind_the_label() -> None:
    """Whole: not before the transcript has ended; and the label's own sound is the first."""
    response = Response(opening="LABEL===")
    events = speaking("Hello there, all.")
    end = next(n for n, event in enumerate(events) if event["type"].endswith("transcript.done"))
    response.feed(*events[:end])
    assert response.sounds() == [] and response.said("response.output_audio_transcript.delta")
    response.feed(*events[end:])
    assert response.sounds() == ["LABEL===", *[SOUND] * 9]
    kinds = response.kinds()
    assert kinds.index("response.output_audio.done") > max(
        n for n, kind in enumerate(kinds) if kind == "response.output_audio.delta"
    )
    assert response.writer.labelled_item == "item_resp_1_0"


def test_sound_may_follow_the_next_words() -> None:
    """Each piece leaves with the words after it: those that stood before it were let out long ago."""
    response = Response(follows=True)
    events = speaking("Hello there, all.")
    response.feed(*events[:3])
    for number in range(3, 9, 2):
        response.feed(events[number], events[number + 1])
    assert len(response.sounds()) == 2, "the last piece has no words behind it yet"
    response.feed(*events[9:])
    assert len(response.sounds()) == 9


@pytest.mark.parametrize("follows", [False, True])
@pytest.mark.parametrize("first", [False, True])
def test_sound_of_a_stopped_answer_does_not_leave(follows: bool, first: bool) -> None:
    """Nothing that was spoken with or behind the word."""
    response = Response(follows=follows).feed(*speaking(f"fine {TERM} and more", first=first))
    assert TERM not in "".join(response.sent)
    allowed = 2 if follows else 0
    assert len(response.sounds()) <= allowed
    assert response.events[-1]["response"]["status_details"]["reason"] == "content_filter"


def test_sound_without_words_is_noticed() -> None:
    """Nobody could judge it."""
    wordless = [event for event in speaking("Hello.") if "transcript.delta" not in event["type"]]
    for event in wordless:
        if event["type"].endswith("transcript.done"):
            event["transcript"] = ""
    reader = ResponseReader(1 << 20)
    for event in wordless[: wordless.index(next(e for e in wordless if e["type"].endswith("transcript.done"))) + 1]:
        reader.read(json.loads(json.dumps(event)), "")
    assert reader.is_unspoken


def test_sound_behind_the_end_of_its_words_still_leaves() -> None:
    """Some servers write faster than they speak."""
    events = speaking("Hello.")
    late = [event for event in events if event["type"] == "response.output_audio.delta"]
    rest = [event for event in events if event["type"] != "response.output_audio.delta"]
    end = next(n for n, event in enumerate(rest) if event["type"].endswith("transcript.done")) + 1
    response = Response().feed(*rest[:end], *late, *rest[end:])
    assert len(response.sounds()) == len(late)


def test_sound_inside_items_is_left_out() -> None:
    """It could carry no label there."""
    whole = message("resp_1", "Hello.", "transcript")
    whole["content"][0]["audio"] = SOUND
    events = speaking("Hello.")[:-1]
    response = Response().feed(*events, done("resp_1", whole))
    assert response.events[-1]["response"]["output"][0]["content"][0]["audio"] is None


def test_the_names_of_the_beta_are_understood_and_kept() -> None:
    """`response.text.delta` and its kin."""
    events = json.loads(json.dumps(saying("Hello there.", 3)).replace("output_text", "text"))
    response = Response(is_beta=True).feed(*events)
    assert response.said("response.text.delta") == f"{HEAD_EN}Hello there.{TAIL_EN}"
    spoken = json.loads(json.dumps(speaking("Hello.")).replace("output_audio", "audio"))
    response = Response(is_beta=True).feed(*spoken)
    assert response.said("response.audio_transcript.delta") == f"{HEAD_EN}Hello.{TAIL_EN}"
    assert len(response.sounds()) == 3


def test_unknown_events_and_members_are_looked_at() -> None:
    """Their strings, the names of their members, and what stands beside a delta is left out."""
    response = Response().feed(
        created(), {"type": "response.new_thing", "response_id": "resp_1", "note": "harmless", "a b": "c"}
    )
    assert response.events[-1]["note"] == "harmless"
    for secret in ({"note": f"x {TERM}"}, {f"x {TERM}": 1}, {"deep": [{"er": TERM}]}):
        response = Response().feed(created(), {"type": "response.new_thing", "response_id": "resp_1", **secret})
        assert TERM not in "".join(response.sent)
        assert response.events[-1]["response"]["status"] == "incomplete"
    beside = {**pieces("Hello.", 6)[0], "obfuscation": TERM, "logprobs": [{"token": TERM}]}
    response = Response().feed(created(), *opening(), beside, done())
    assert TERM not in "".join(response.sent) and "Hello." in response.said()


@pytest.mark.parametrize(
    "event",
    [
        {"type": "response.output_text.delta", **at(), "delta": 5},
        {"type": "response.output_text.delta", **{**at(), "output_index": "x"}, "delta": "a"},
        {"type": "response.output_text.delta", **{**at(), "item_id": f"a {TERM}"}, "delta": "a"},
        {"type": "response.output_text.done", **at(), "text": 7},
        {"type": "response.output_audio.delta", **at(), "delta": f"no base64 {TERM}"},
        {"type": "response.output_audio.delta", **at(), "delta": None},
        {"type": "response.content_part.added", **at(), "part": "x"},
        {"type": "response.done", "response": {"id": "resp_1", "output": "x"}},
        {"type": "response.done", "response": {"id": "resp_1", "output": ["x"]}},
        {"type": "response.x", "deep": json.loads("[" * 70 + "]" * 70)},
    ],
)
def test_nonsense_is_refused(event: Mapping[str, Any]) -> None:
    """What is not what the wire says is no answer."""
    with pytest.raises(BadAnswer):
        Response().feed(created(), *opening(), event)


def test_too_much_is_refused() -> None:
    """Sound that nobody lets go, and parts without end."""
    reader = ResponseReader(8)
    reader.read(sound(), "")
    reader.read(sound(), "")
    with pytest.raises(BadAnswer, match="sound_too_large"):
        reader.read(sound(), "")
    reader = ResponseReader(8)
    with pytest.raises(BadAnswer):
        for index in range(2_000):
            reader.read({"type": "response.output_text.delta", **at(index=index), "delta": "a"}, "")


def test_text_behind_its_end_is_refused() -> None:
    """Events out of order."""
    response = Response().feed(created(), *opening(), {"type": "response.output_text.done", **at(), "text": ""})
    with pytest.raises(BadAnswer, match="text_behind_its_end"):
        response.feed(*pieces("late", 4))


def test_surrogates_cut_apart_are_joined() -> None:
    """Two halves of a pair in two deltas; a half that stays alone becomes a replacement character."""
    response = Response()
    for half in ("\\ud83d", "\\udc09"):
        raw = json.dumps(pieces("X", 1)[0]).replace('"X"', f'"{half}"')
        _, events = response.reader.read(json.loads(raw), raw)
        assert [event.text for event in events if isinstance(event, TextDelta)] == (["🐉"] if half == "\\udc09" else [])
    raw = json.dumps(pieces("X", 1)[0]).replace('"X"', '"\\ud83d"')
    response.reader.read(json.loads(raw), raw)
    _, events = response.reader.read({"type": "response.output_text.done", **at(), "text": "🐉"}, "")
    assert [event.text for event in events if isinstance(event, TextDelta)] == ["\ufffd"]


def test_usage_is_told() -> None:
    """As numbers, and not where they are none."""
    reader = ResponseReader(8)
    _, events = reader.read(done(), "")
    assert [type(event).__name__ for event in events][-2:] == ["Usage", "End"]
    broken = done()
    broken["response"]["usage"] = {"input_tokens": "many", "output_tokens": 1}
    _, events = ResponseReader(8).read(broken, "")
    assert "Usage" not in [type(event).__name__ for event in events]


@given(
    st.lists(st.sampled_from(["a", "禁", "词", " ", "forbidden", "word", "🐉", "masked", "."]), max_size=12),
    st.booleans(),
)
def test_no_order_of_pieces_lets_a_word_out(words: Sequence[str], follows: bool) -> None:
    """Whatever is cut where; and what the last event repeats is what the deltas said."""
    text = "".join(words)
    kind = "response.output_audio_transcript"
    events: list[dict[str, Any]] = [created(), *opening("resp_1", "audio")]
    for word in words:
        events += [{**pieces(word, 20, kind)[0], "event_id": None} if word else {}, sound()]
    whole = message("resp_1", text, "transcript")
    events += [{"type": f"{kind}.done", **at(), "transcript": text}, done("resp_1", whole)]
    for event in events:
        event.pop("event_id", None)
    response = Response(follows=follows).feed(*events)
    everything = "".join(response.sent)
    assert TERM not in everything and "forbiddenword" not in everything and "maskedword" not in everything
    last = response.events[-1]["response"]
    assert (last["status"] == "incomplete") == (TERM in text or "forbiddenword" in text)
    if last["status"] == "completed":
        assert [content["transcript"] for item in last["output"] for content in item["content"]] == [
            response.said(f"{kind}.delta")
        ]
        assert not words or len(response.sounds()) == len(words) or response.reader.is_unspoken


@given(MEMBERS, st.sampled_from(KINDS))
def test_any_event_is_read_or_refused(members: Mapping[str, Any], kind: str) -> None:
    """Never anything but `BadAnswer`."""
    with contextlib.suppress(BadAnswer):
        Response().feed(created(), *opening(), {**members, "type": kind})


def test_a_name_is_told_from_a_text() -> None:
    """Identifiers pass; sentences and other scripts do not."""
    assert is_name("item_A-1.2") and is_name("") and not is_name("a b") and not is_name("禁") and not is_name("x" * 129)


def test_ends_of_choices_belong_to_parts() -> None:
    """Each part is a choice of its own, so that one can end while another goes on."""
    reader = ResponseReader(8)
    events: list[Event] = []
    for event in (*pieces("a", 1), {**pieces("b", 1)[0], "content_index": 1}):
        events += reader.read(event, "")[1]
    assert [event.lane.choice for event in events if isinstance(event, TextDelta)] == [0, 1]
    _, ends = reader.read({"type": "response.output_text.done", **at(), "text": "a"}, "")
    assert [event.choice for event in ends if isinstance(event, Finish)] == [0]
