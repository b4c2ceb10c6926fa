# SPDX-License-Identifier: Apache-2.0
"""The parts that all JSON wires share, with the smallest wire there can be: a document with a list of said things."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.events import Attached, Channel, End, Event, Finish, Lane, Opaque, TextDelta
from gateway.exchange import Exchange
from gateway.wires.frames import Attachment, Ending, Frame, Path, Slot, built
from gateway.wires.framing import StreamFrames, TextFinder, WholeDocument, as_it_came, encoded, frame_of

ANSWER = Lane(0, Channel.ANSWER)
THOUGHT = Lane(0, Channel.REASONING)
LABEL = {"Label": "1"}


def exchange(**members: Any) -> Exchange:
    """As much of an exchange as a writer reads."""
    return cast(Exchange, SimpleNamespace(label=LABEL, notices=[], **members))


class Lines(StreamFrames):
    """A stream of documents, one a line."""

    def text_frame(self, lane: Lane, text: str, path: Path | None) -> Frame:
        return Frame({"small": True, **built(path or ("said",), text)})

    def attachment_frame(self, lane: Lane, part: Attachment) -> Frame:
        return Frame({"small": True, "told": part.value})

    def finish_frame(self, choice: int, reason: str) -> Frame:
        return Frame({"small": True, "end": reason})

    def last_frame(self) -> Frame | None:
        return Frame({"small": True, "last": True})

    def frame_bytes(self, frame: Frame) -> bytes:
        return (frame.raw or encoded(frame.tree)) + b"\n"

    def broken(self, code: str, message: str) -> bytes:
        return self.flushed() + b"broken\n"


class One(WholeDocument):
    """One document with the texts in `said` and `thought`."""

    def empty(self) -> dict[str, Any]:
        return {"said": ""}

    def replace(self, document: dict[str, Any], choice: int, reason: str, text: str) -> None:
        document["said"], document["end"] = text, reason

    def broken(self, code: str, message: str) -> bytes:
        return b"broken"


def frame(tree: dict[str, Any]) -> tuple[Frame, list[Event]]:
    """A document and its events: the members `said` and `thought`, `told` of what is said, and `end`."""
    made = Frame(tree, json.dumps(tree).encode())
    events: list[Event] = []
    for key, lane in (("said", ANSWER), ("thought", THOUGHT)):
        if key in tree:
            events.append(TextDelta(lane, tree[key], Slot(made, tree, key, tree[key], (key,))))
    if "told" in tree:
        events.append(Attached(ANSWER, (), Attachment(made, tree, "told", tree["told"])))
    if "end" in tree:
        events.append(Finish(0, tree["end"], Ending(made, tree, "end", tree["end"])))
    return made, events or [Opaque(made)]


def lines(body: bytes) -> list[dict[str, Any]]:
    """The documents of a stream."""
    return [json.loads(line) for line in body.splitlines()]


def test_a_frame_whose_events_come_through_goes_out_as_it_came() -> None:
    """All but the first, which carries the label, and the last."""
    writer = Lines(exchange())
    out = b""
    for text in "abc":
        out += writer.write(frame({"said": text, "x": 1e2})[1])
    out += writer.write([End()])
    assert lines(out)[0] == {"said": "a", "x": 100.0, "aigc": LABEL}
    assert out.splitlines()[1:3] == [b'{"said": "b", "x": 100.0}', b'{"said": "c", "x": 100.0}']
    assert lines(out)[3] == {"small": True, "last": True, "aigc": LABEL}


def test_the_frame_behind_all_text_waits_to_become_the_last() -> None:
    """It carries the label; where another follows it goes out as it came."""
    writer = Lines(exchange())
    writer.write(frame({"said": "a"})[1])
    assert writer.write(frame({"end": "stop"})[1]) == b""
    assert lines(writer.write(frame({"usage": 1})[1])) == [{"end": "stop"}]
    assert lines(writer.write([End()])) == [{"usage": 1, "aigc": LABEL}]


def test_what_waits_is_not_lost_where_the_stream_breaks_off() -> None:
    """The end of a choice was said and is passed on before the error."""
    writer = Lines(exchange())
    writer.write(frame({"said": "a"})[1])
    writer.write(frame({"end": "stop"})[1])
    assert writer.broken("c", "m").splitlines() == [b'{"end": "stop"}', b"broken"]


def test_notices_travel_in_the_last_frame() -> None:
    """Beside the label."""
    writer = Lines(exchange())
    writer.write(frame({"said": "a"})[1])
    writer.exchange.notices.append({"kind": "k", "text": "t"})
    assert lines(writer.write([End()]))[-1]["notices"] == [{"kind": "k", "text": "t"}]


def test_what_was_held_back_follows_in_small_frames() -> None:
    """Text, what tells of it, and the end, each in its own form and place."""
    writer = Lines(exchange())
    made, (said, thought, told, end) = frame({"said": "a", "thought": "b", "told": 1, "end": "stop"})
    assert lines(writer.write([thought])) == [{"said": "", "thought": "b", "told": None, "end": None, "aigc": LABEL}]
    assert made.is_sent
    assert lines(writer.write([said, told])) == [{"small": True, "said": "a"}, {"small": True, "told": 1}]
    assert writer.write([end]) == b""
    assert lines(writer.write([End()])) == [{"small": True, "end": "stop", "aigc": LABEL}]


def test_a_text_in_two_parts_of_one_batch_is_one_text() -> None:
    """A duty may release a text in pieces."""
    writer = Lines(exchange())
    _, (said, *_) = frame({"said": "abcd"})
    parts = [TextDelta(ANSWER, text, cast(TextDelta, said).carrier) for text in ("ab", "cd")]
    assert lines(writer.write(parts)) == [{"said": "abcd", "aigc": LABEL}]


def test_a_duty_that_writes_first_writes_in_the_names_of_the_answer() -> None:
    """The first frame is looked at before the small frame that goes out before it."""
    learned: list[str] = []

    class Learning(Lines):
        def learn(self, frame: Frame) -> None:
            learned.append(frame.tree["id"])

        def text_frame(self, lane: Lane, text: str, path: Path | None) -> Frame:
            return Frame({"id": learned[0], "said": text})

    out = Learning(exchange()).write([TextDelta(ANSWER, "label"), *frame({"id": "i", "said": "a"})[1]])
    assert [document["id"] for document in lines(out)] == ["i", "i"]


def test_the_duties_words_follow_the_path_of_their_lane() -> None:
    """Where the upstream's own text of that lane stands."""
    writer = Lines(exchange())
    writer.write(frame({"thought": "a"})[1])
    assert lines(writer.write([TextDelta(THOUGHT, "b")])) == [{"small": True, "thought": "b"}]
    assert lines(writer.write([TextDelta(ANSWER, "c")])) == [{"small": True, "said": "c"}]


@given(st.lists(st.sampled_from(["a", "b", "é", "😀"]), min_size=1, max_size=5), st.data())
def test_a_stream_says_every_text_once_however_it_is_held_back(texts: list[str], data: st.DataObject) -> None:
    """Order within the lane is kept by whoever holds; the writer adds and loses nothing."""
    writer = Lines(exchange())
    events = [event for text in texts for event in frame({"said": text, "thought": text})[1]]
    said = [event for event in events if cast(TextDelta, event).lane is ANSWER]
    thoughts = [event for event in events if cast(TextDelta, event).lane is THOUGHT]
    out = b""
    while said or thoughts:
        queue = data.draw(st.sampled_from([queue for queue in (said, thoughts) if queue]))
        out += writer.write([queue.pop(0)])
    documents = lines(out)
    for key in ("said", "thought"):
        assert "".join(document.get(key) or "" for document in documents) == "".join(texts)


def test_a_plain_answer_is_whole_or_not_there() -> None:
    """Not a byte before `End`; then all of it, texts in their places."""
    writer = One(exchange())
    made, events = frame({"said": "a", "thought": "b", "told": 1, "end": "stop"})
    assert writer.write(events) == b""
    said = [TextDelta(ANSWER, "[head]"), *events, TextDelta(ANSWER, "[tail]"), End(made)]
    assert json.loads(One(exchange()).write(said)) == {
        "said": "[head]a[tail]", "thought": "b", "told": 1, "end": "stop", "aigc": LABEL,
    }  # fmt: skip


def test_what_was_not_let_through_is_not_in_a_plain_answer() -> None:
    """Texts become empty, attachments null."""
    made, (said, *_) = frame({"said": "a", "thought": "b", "told": 1})
    assert json.loads(One(exchange()).write([said, End(made)])) == {
        "said": "a", "thought": "", "told": None, "aigc": LABEL,
    }  # fmt: skip


def test_a_stopped_plain_answer_says_the_duties_words_only() -> None:
    """Of the model's texts none, also not those of lanes that the duties did not speak of."""
    made, _ = frame({"said": "a", "thought": "b"})
    events = [TextDelta(ANSWER, "Sorry."), Finish(0, "content_filter"), End(made)]
    document = json.loads(One(exchange()).write(events))
    assert document == {"said": "Sorry.", "thought": "", "end": "content_filter", "aigc": LABEL}


def test_an_answer_that_no_model_gave_is_made_from_nothing() -> None:
    """A refusal in-band."""
    document = json.loads(One(exchange()).write([TextDelta(ANSWER, "Sorry."), Finish(0, "x"), End()]))
    assert document == {"said": "Sorry.", "end": "x", "aigc": LABEL}


def test_texts_of_a_lane_with_several_places_stay_in_their_places() -> None:
    """Blocks of one answer are one lane; a duty's words stand at the place that the lane is at."""
    tree = {"blocks": ["a", "b"]}
    made = Frame(tree)
    first, second = (
        TextDelta(ANSWER, text, Slot(made, tree["blocks"], at, text, ("blocks",))) for at, text in enumerate("ab")
    )
    words = [TextDelta(ANSWER, text) for text in ("[head]", "[tail]")]
    document = json.loads(One(exchange()).write([words[0], first, second, words[1], End(made)]))
    assert document["blocks"] == ["[head]a", "b[tail]"]


@pytest.mark.parametrize(
    "raw", [b'{"a":1,"b":"x y"}', b'{"a": 1, "b": "x y"}', b'{"a":1,"b":"x\\u0020y"}', b'{ "b":"x y" }', b'{"a":1e0}']
)
def test_what_is_unchanged_goes_out_as_it_came(raw: bytes) -> None:
    """However it is spelt."""
    assert as_it_came(Frame(json.loads(raw), raw)) == raw


@pytest.mark.parametrize("raw", [b'{"a":2,"a":1}', b'{"a": 2, "a": 1}', b'{"a" :2,"\\u0061":1}', b""])
def test_of_a_member_that_comes_twice_only_what_was_looked_at_goes_out(raw: bytes) -> None:
    """One parser reads the first, another the last."""
    assert as_it_came(Frame({"a": 1}, raw)) == b'{"a":1}'


def test_integers_of_any_size_and_lone_halves_can_be_written() -> None:
    """Where orjson would refuse them."""
    assert json.loads(encoded({"big": 2**70, "half": "\ud83d"})) == {"big": 2**70, "half": "\ud83d"}


@pytest.mark.parametrize("carrier", [None, "else"])
def test_an_event_that_a_duty_made_has_no_frame(carrier: object) -> None:
    """It needs a small frame of its own."""
    assert frame_of(TextDelta(ANSWER, "a", carrier)) is None
    made, events = frame({"said": "a", "told": 1, "end": "x"})
    assert all(frame_of(event) is made for event in [*events, Opaque(made), End(made)])


def test_a_finder_joins_halves_by_lane_and_lets_go_what_never_came() -> None:
    """The halves of different lanes never meet; a choice that ends gives its own back."""
    finder = TextFinder()
    made = Frame({})
    other = Lane(1, Channel.ANSWER)

    def fed(lane: Lane, text: str) -> list[str]:
        tree = {"x": text}
        return [event.text for event in finder.text(made, lane, tree, "x", text, ("x",))]

    assert fed(ANSWER, "a\ud83d") == ["a"]
    assert fed(other, "\ud83d") == []
    assert fed(THOUGHT, "\ude00") == ["\ufffd"]
    assert fed(ANSWER, "\ude00b") == ["😀b"]
    assert [(event.lane, event.text) for event in finder.close(1) if isinstance(event, TextDelta)] == [
        (other, "\ufffd")
    ]
    assert fed(ANSWER, "\ud83d") == []
    assert [event.text for event in finder.close() if isinstance(event, TextDelta)] == ["\ufffd"]
    assert finder.close() == []


def test_a_frame_whose_text_was_joined_is_written_anew() -> None:
    """Its bytes hold half a character."""
    tree = {"x": "a\ud83d"}
    made = Frame(tree, b"raw")
    list(TextFinder().text(made, ANSWER, tree, "x", tree["x"], ("x",)))
    assert made.raw == b"" and tree["x"] == "a"
