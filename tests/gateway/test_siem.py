# SPDX-License-Identifier: Apache-2.0
"""Events for a SIEM follow the schema, can be proven, and none is lost, whatever fails."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit_log import AuditLog, Entry, new_record_id
from audit_log.commands import export_source
from audit_log.export import ExportSource
from audit_log.merkle import leaf_hash
from audit_log.record import TYPES
from gateway.siem import Fed, Feed, FeedError, FileSink, HttpSink, ocsf_event

jsonschema = pytest.importorskip("jsonschema")
SCHEMA = json.loads((Path(__file__).parent / "ocsf.schema.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
ORIGIN = "audit.example.com/test"
HEAD = {"id": "r1", "t": "2027-01-15T08:00:00.123456Z", "tenant": "t1", "wire": "openai_chat", "model": "m"}


def event_of(**fields: object) -> dict[str, Any]:
    leaf = json.dumps(fields).encode()
    event = ocsf_event(7, leaf, origin=ORIGIN, provider="Example provider")
    VALIDATOR.validate(event)
    assert event["type_uid"] == event["class_uid"] * 100 + event["activity_id"]
    assert event["unmapped"]["leaf_hash"] == leaf_hash(leaf).hex()
    return event


def test_an_exchange_is_an_api_call_with_its_outcome() -> None:
    """What was refused or stopped is denied, blocked and an alert; what was masked is modified."""
    allowed = event_of(**HEAD, type="exchange", action="allow", outcome="completed", tokens={"in": 3, "out": 4})
    assert (allowed["class_uid"], allowed["time"], allowed["status_id"]) == (6003, 1_800_000_000_123, 1)
    assert (allowed["action_id"], allowed["disposition_id"], allowed["is_alert"]) == (1, 1, False)
    assert allowed["ai_model"] == {"name": "m", "ai_provider": "Example provider"}
    assert allowed["message_context"]["total_tokens"] == 7
    assert allowed["metadata"]["profiles"] == ["ai_operation", "security_control"]
    assert (allowed["metadata"]["uid"], allowed["unmapped"]["index"]) == ("r1", 7)
    for action in ("refuse", "stop"):
        denied = event_of(**HEAD, type="close", action=action, outcome="stopped", **{"class": "A1"})
        assert (denied["action_id"], denied["disposition_id"], denied["is_alert"]) == (2, 2, True)
        assert (denied["status_id"], denied["severity_id"], denied["unmapped"]["record_class"]) == (2, 3, "A1")
    assert event_of(**HEAD, type="exchange", action="modify")["action_id"] == 4
    assert event_of(**HEAD, type="open")["action_id"] == 0


def test_an_incident_is_a_finding_with_a_life() -> None:
    """Created, updated, closed, under one id."""
    steps = [event_of(id="r", type="incident", incident="i1", event=step) for step in ("opened", "report", "closed")]
    assert [(step["class_uid"], step["activity_id"], step["status_id"]) for step in steps] == [
        (2004, 1, 1),
        (2004, 2, 2),
        (2004, 3, 4),
    ]
    assert {step["finding_info"]["uid"] for step in steps} == {"i1"}
    assert [step["is_alert"] for step in steps] == [True, False, False]


def test_everything_else_is_an_act_upon_the_log() -> None:
    """No type of record is left out."""
    for kind in TYPES - {"exchange", "open", "close", "incident"}:
        assert event_of(id="r", type=kind, by="ops", event="x")["api"]["operation"] == f"{kind}.x"


VALUES = st.none() | st.booleans() | st.integers() | st.text() | st.dictionaries(st.text(), st.integers())
NAMES = ("id", "t", "tenant", "type", "action", "tokens", "policy", "model", "incident", "event", "class", "by")


@given(st.dictionaries(st.sampled_from(NAMES), VALUES), st.sampled_from(sorted(TYPES)), st.booleans())
def test_whatever_stands_in_a_record_the_event_follows_the_schema(
    fields: dict[str, object], kind: str, has_kind: bool
) -> None:
    """A record that a later version wrote, or that was damaged, must not stop the feed."""
    event_of(**{**fields, **({"type": kind} if has_kind else {})})
    VALIDATOR.validate(ocsf_event(0, b"\xff", origin=ORIGIN, provider=""))


class Memory:
    """A sink that can fail before or after it took what it was given."""

    name = "memory"

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.fails: list[str] = []

    def take(self, lines: Sequence[bytes]) -> None:
        how = self.fails.pop(0) if self.fails else ""
        if how != "before":
            self.lines.extend(lines)
        if how:
            raise FeedError("away")

    def indices(self) -> list[int]:
        return [json.loads(line)["unmapped"]["index"] for line in self.lines]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    AuditLog.create(tmp_path / "home", ORIGIN, clock=lambda: 1.7e9)
    log = AuditLog.open(tmp_path / "home", writer="gw", clock=lambda: 1.8e9)
    for _ in range(9):
        log.append_blocking(Entry({"id": new_record_id(), "type": "exchange"}, "person"))
    log.close()
    return tmp_path / "home"


def run(feed: Feed, source: ExportSource) -> Fed:
    return feed.run(source.store, source.store.head(), ORIGIN, source.verifiers)


def test_a_feed_goes_on_where_it_was_and_loses_nothing(home: Path, tmp_path: Path) -> None:
    """A batch that was taken and then failed comes again, with the same ids."""
    sink = Memory()
    with export_source(home) as source:
        feed = Feed(tmp_path / "siem", sink, provider="", batch=4)
        sink.fails = ["", "before"]
        with pytest.raises(FeedError):
            run(feed, source)
        assert (feed.position(), sink.indices()) == (4, [0, 1, 2, 3])
        sink.fails = ["after"]
        with pytest.raises(FeedError):
            run(feed, source)
        assert run(feed, source) == Fed(7, 11, 0)
        assert sink.indices() == [*range(8), *range(4, 11)]
        assert run(Feed(tmp_path / "siem", sink, provider="", batch=4), source) == Fed(0, 11, 0)
    assert len({json.loads(line)["metadata"]["uid"] for line in sink.lines}) == 11
    assert b"person" not in b"".join(sink.lines)


def test_a_position_that_cannot_be_read_is_not_taken_for_the_beginning(home: Path, tmp_path: Path) -> None:
    """Nor is a leaf that is missing passed over."""
    feed = Feed(tmp_path, Memory(), provider="", batch=4)
    for text in ("", "{}", '{"next":-1}', '{"next":"1"}'):
        (tmp_path / "memory.json").write_text(text)
        with pytest.raises(FeedError, match="delete"):
            feed.position()


def test_a_file_gets_whole_lines_also_after_a_crash(tmp_path: Path) -> None:
    """Half a line is ended, and the next event begins on its own."""
    sink = FileSink(tmp_path / "events")
    sink.take([b'{"a":1}\n'])
    with (tmp_path / "events").open("ab") as file:
        file.write(b'{"ha')
    sink.take([b'{"b":2}\n', b'{"c":3}\n'])
    assert (tmp_path / "events").read_bytes() == b'{"a":1}\n{"ha\n{"b":2}\n{"c":3}\n'
    with pytest.raises(FeedError):
        FileSink(tmp_path / "no" / "events").take([b"{}\n"])


def test_what_an_address_did_not_take_is_told() -> None:
    """A status that is not 2xx, or nobody there."""
    sent: list[bytes] = []

    def post(url: str, body: bytes) -> tuple[int, bytes]:
        sent.append(body)
        if url.endswith("away"):
            raise OSError("ConnectError")
        return int(url[-3:]), b""

    HttpSink("http://siem/204", post).take([b"a\n", b"b\n"])
    assert sent == [b"a\nb\n"]
    for url in ("http://siem/302", "http://siem/500", "http://siem/away"):
        with pytest.raises(FeedError):
            HttpSink(url, post).take([b"a\n"])
