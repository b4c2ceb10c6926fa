# SPDX-License-Identifier: Apache-2.0
"""Answers that hold media: every other string is guarded, and no medium leaves without its label."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.events import Event, Media
from gateway.exchange import Exchange, Outcome, Prompt
from gateway.filtering import AnswerFilter
from gateway.notices import NoticesInAnswer
from gateway.wires.interfaces import BadAnswer
from gateway.wires.media_answer import BodyReader, BodyWriter, DocumentReader, DocumentWriter
from gateway.wires.openai_errors import error_body
from tests.gateway.wires.driver import FILTER, TERM, pieces

MEDIA = {"b64_json": "b64", "url": "link"}
PICTURE = base64.b64encode(b"picture").decode()


def exchange() -> Exchange:
    known = Exchange("0199a000-0000-7000-8000-000000000001", 0.0, "w", "/p", prompt=Prompt("m", False, [], {}))
    known.label = {"Label": "1"}
    return known


def labelled(events: list[Event]) -> list[Event]:
    """As a duty would that labels media."""
    return [
        replace(event, data=event.data and b"labelled " + event.data, is_labelled=True)
        if isinstance(event, Media)
        else event
        for event in events
    ]


def read(tree: Any) -> list[Event]:
    reader = DocumentReader(MEDIA)
    return [*reader.feed(orjson.dumps(tree)), *reader.close()]


def written(known: Exchange, events: list[Event]) -> tuple[int, dict[str, Any]]:
    writer = DocumentWriter(known, error_body)
    for duty in (AnswerFilter(known, FILTER), NoticesInAnswer(known)):
        events = duty.feed(events)
    body = json.loads(writer.write(events))
    return writer.status, body


def test_a_labelled_medium_stands_where_the_bare_one_stood() -> None:
    """Base64 is replaced, a link that a duty vouched for stays, everything else is kept."""
    tree = {"created": 1, "data": [{"b64_json": PICTURE, "revised_prompt": "a cat"}, {"url": "https://host/x"}]}
    status, body = written(exchange(), labelled(read(tree)))
    assert status == 200
    assert base64.b64decode(body["data"][0]["b64_json"]) == b"labelled picture"
    assert body["data"][0]["revised_prompt"] == "a cat"
    assert body["data"][1] == {"url": "https://host/x"}
    assert body["aigc"] == {"Label": "1"}


@pytest.mark.parametrize("key", ["b64_json", "url"])
def test_a_bare_medium_does_not_leave(key: str) -> None:
    """The writer is the last door, whatever stands before it."""
    with pytest.raises(BadAnswer) as caught:
        written(exchange(), read({"data": [{key: PICTURE}]}))
    assert caught.value.code == "unlabelled_media"


def test_a_medium_that_a_duty_dropped_leaves_an_empty_place() -> None:
    """The original never stands in for it."""
    events: list[Event] = [event for event in read({"data": [{"b64_json": PICTURE}]}) if not isinstance(event, Media)]
    assert written(exchange(), events)[1]["data"] == [{"b64_json": None}]


@pytest.mark.parametrize(
    "tree", [{"data": [{"revised_prompt": TERM}]}, {"note": [{"deep": TERM}]}, {"error": {"message": TERM}}]
)
def test_a_stopped_answer_is_the_wires_error(tree: Any) -> None:
    """With our words, without the model's."""
    known = exchange()
    status, body = written(known, read({**tree, "other": "harmless"}))
    assert (status, body["error"]["code"]) == (400, "content_filter")
    assert body["error"]["message"]
    assert TERM not in str(body)
    assert "harmless" not in str(body)
    assert known.outcome is Outcome.STOPPED


@given(st.lists(st.integers(0, 200), max_size=5))
def test_any_split_gives_the_same_medium(cuts: list[int]) -> None:
    """A medium is labelled whole."""
    reader = BodyReader("audio/mpeg")
    body = bytes(range(100))
    events = [event for piece in pieces(body, cuts) for event in reader.feed(piece)]
    assert events == []
    writer = BodyWriter("audio/mpeg", error_body)
    assert writer.write(labelled(reader.close())) == b"labelled " + body
    assert writer.content_type == b"audio/mpeg"


def test_a_bare_or_empty_body_does_not_leave() -> None:
    """An empty medium is an answer that broke off."""
    reader = BodyReader("audio/mpeg")
    with pytest.raises(BadAnswer) as caught:
        reader.close()
    assert caught.value.code == "incomplete"
    reader.feed(b"x")
    with pytest.raises(BadAnswer) as caught:
        BodyWriter("audio/mpeg", error_body).write(reader.close())
    assert caught.value.code == "unlabelled_media"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"oops", "invalid_json"),
        (b"[]", "not_an_object"),
        (b'{"b64_json": "%%%"}', "bad_media"),
        (b'{"url": {"a": "b"}}', "bad_media"),
    ],
)
def test_what_is_no_such_document_is_refused(body: bytes, code: str) -> None:
    """By name."""
    reader = DocumentReader(MEDIA)
    reader.feed(body)
    with pytest.raises(BadAnswer) as caught:
        reader.close()
    assert caught.value.code == code
