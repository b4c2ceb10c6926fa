# SPDX-License-Identifier: Apache-2.0
"""A leaf holds fixed words, numbers and digests; people and their words lie elsewhere, or nowhere."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any, cast

import pytest

from audit_log import AuditLog, Entry, LogUnavailable, leaf_bytes, new_record_id, open_receipt
from content_filter import IncidentStore
from gateway.decisions import Action, Decision, Verdict
from gateway.exchange import Exchange, Outcome, Person, Prompt, PromptText
from gateway.metrics import Meters
from gateway.policies import load
from gateway.recording import Recorder, is_sampled
from tests.gateway.rooms import NOW, Incidents, Log, Rooms, chunks, completion, request
from tests.gateway.wires.driver import TERM

SECRETS = ("my private question", "p_pseudonym", "tok_secret", "alice@example.com", "the model's own words")
POLICY = load(["cn"])
STREAM_TYPE, JSON_TYPE = "text/event-stream", "application/json"
STOP = Decision(
    "content_filter", Verdict.BLOCK, Action.STOP, "term", "A1a", "term:00", 10_000, "answer", 0, "answer", 3, 5
)


def exchange(*decisions: Decision, outcome: Outcome = Outcome.COMPLETED, model: str = "m", **known: Any) -> Exchange:
    """An exchange in which every field that may hold a person's words does."""
    made = Exchange(
        record_id=new_record_id(),
        started_at=NOW,
        wire="openai_chat",
        path="/v1/chat/completions",
        headers=[(b"authorization", b"Bearer tok_secret"), (b"duty-subject", b"tok_secret")],
        person=Person(tenant="school", subject="p_pseudonym", is_signed=True),
        prompt=Prompt(
            model, False, [PromptText("messages.0.content", "user", SECRETS[0])], {"user": SECRETS[3], "q": SECRETS[0]}
        ),
        model=model,
        head_notice="You are talking to an AI.",
        notice_version="n1",
        filter_digest="f" * 64,
        outcome=outcome,
        status=200,
        upstream_status=200,
        released_chars=12,
        input_tokens=3,
        output_tokens=4,
        kept=[SECRETS[4].encode()],
        **known,
    )
    made.decisions += decisions
    return made


def recorded(made: Exchange, bodies: str = "none", *, opened: bool = False) -> tuple[list[Entry], Incidents]:
    """What the recorder gives to the log."""
    log, incidents = Log([]), Incidents()
    recorder = Recorder(cast(Any, log), cast(Any, incidents), POLICY, bodies, lambda: NOW + 0.25, Meters(version="0"))

    async def write() -> None:
        if opened:
            await recorder.opened(made)
        await recorder.closed(made, was_opened=opened)

    asyncio.run(write())
    return log.entries, incidents


@pytest.mark.parametrize("outcome", list(Outcome))
@pytest.mark.parametrize("bodies", ["none", "blocked", "all"])
@pytest.mark.parametrize("opened", [True, False])
def test_no_leaf_holds_a_word_a_name_or_a_token(outcome: Outcome, bodies: str, opened: bool) -> None:
    """However it ended and whatever is kept beside it."""
    entries, _ = recorded(exchange(STOP, outcome=outcome, closing_id=new_record_id()), bodies, opened=opened)
    for entry in entries:
        leaf = leaf_bytes({**entry.fields}).decode()
        assert not any(secret in leaf for secret in SECRETS)
        assert entry.subject == "p_pseudonym"


def test_the_record_says_who_may_know_what_happened() -> None:
    """Tenant, wire, model, policy with its digest, filter, notice, times, sizes, decisions."""
    (entry,), _ = recorded(exchange(Decision("label", Verdict.PASS, Action.LABEL, "text")))
    fields = dict(entry.fields)
    assert fields.pop("id")
    assert fields == {
        "type": "exchange",
        "tenant": "school",
        "wire": "openai_chat",
        "model": "m",
        "filter": "f" * 64,
        "notice": "n1",
        "policy": {"id": POLICY.id, "version": POLICY.version, "digest": POLICY.digest},
        "verdict": "pass",
        "action": "label",
        "outcome": "completed",
        "status": 200,
        "upstream_status": 200,
        "decisions": [{"duty": "label", "verdict": "pass", "action": "label", "reason": "text"}],
        "released_chars": 12,
        "tokens": {"in": 3, "out": 4},
        "ms": {"first_byte": -1, "total": 250},
    }


def test_a_closing_record_names_its_exchange() -> None:
    """Two records, two ids, one exchange."""
    made = exchange(closing_id=new_record_id())
    opened, closed = (entry.fields for entry in recorded(made, opened=True)[0])
    assert opened["id"] == closed["exchange"] == made.record_id
    assert closed["id"] == made.closing_id and (opened["type"], closed["type"]) == ("open", "close")


def test_the_strongest_decision_stands_for_the_exchange() -> None:
    """Others do not hide it, whatever their order."""
    label = Decision("label", Verdict.PASS, Action.LABEL)
    (entry, *_), _ = recorded(exchange(label, STOP, label, outcome=Outcome.STOPPED))
    assert (entry.fields["verdict"], entry.fields["action"], entry.fields["class"]) == ("block", "stop", "A1a")
    (entry,), _ = recorded(exchange())
    assert (entry.fields["verdict"], entry.fields["action"]) == ("pass", "allow")


def test_a_stop_opens_an_incident_in_one_step_with_its_record() -> None:
    """Both records or neither."""
    made = exchange(STOP, outcome=Outcome.STOPPED)
    entries, incidents = recorded(made)
    closing, opened = (entry.fields for entry in entries)
    (incident,) = incidents.opened
    assert made.incident == closing["incident"] == opened["incident"] == incident.id
    assert (opened["type"], opened["exchange"], opened["class"]) == ("incident", made.record_id, "A1a")
    assert (incident.subject, incident.record_id, incident.start, incident.end) == ("p_pseudonym", made.record_id, 3, 5)


def test_a_stop_without_a_class_is_no_incident_of_content() -> None:
    """A duty that broke."""
    entries, incidents = recorded(exchange(Decision("x", Verdict.ERROR, Action.STOP), outcome=Outcome.STOPPED))
    assert incidents.opened == [] and "incident" not in entries[0].fields


@pytest.mark.parametrize(
    ("model", "shown"),
    [
        ("gpt-4o", "gpt-4o"),
        ("org/model:7b+x", "org/model:7b+x"),
        ("my phone is 123", "(unprintable)"),
        ("模型", "(unprintable)"),
        ("a\nb", "(unprintable)"),
        ("x" * 129, "(unprintable)"),
    ],
)
def test_a_model_name_that_is_none_is_not_recorded(model: str, shown: str) -> None:
    """A client chooses it, and may write anything there."""
    assert recorded(exchange(model=model))[0][0].fields["model"] == shown


REFUSED = Decision("content_filter", Verdict.BLOCK, Action.REFUSE)


@pytest.mark.parametrize(
    ("bodies", "decisions", "kept"),
    [
        ("none", [STOP], False),
        ("blocked", [], False),
        ("blocked", [Decision("label", Verdict.PASS, Action.LABEL)], False),
        ("blocked", [REFUSED], True),
        ("blocked", [STOP], True),
        ("blocked", [Decision("f", Verdict.MASK, Action.MODIFY)], True),
        ("all", [], True),
    ],
)
def test_bodies_are_kept_as_the_setting_says(bodies: str, decisions: list[Decision], kept: bool) -> None:
    """Prompt and answer as they came, or nothing."""
    entry = recorded(exchange(*decisions), bodies)[0][0]
    assert (entry.body is not None) == kept
    if entry.body is not None:
        assert json.loads(entry.body) == {
            "prompt": {"user": SECRETS[3], "q": SECRETS[0]},
            "answer": SECRETS[4],
        }


def test_an_exchange_without_a_prompt_has_no_body() -> None:
    """Half a request."""
    made = exchange()
    made.prompt = None
    assert recorded(made, "all")[0][0].body is None


def test_a_kept_body_is_sealed_and_found_by_its_record(tmp_path: Path) -> None:
    """No file of the log holds the words in clear."""
    AuditLog.create(tmp_path / "audit", "audit.example.com/test")
    log = AuditLog.open(tmp_path / "audit", writer="gw-0", publish=False)
    incidents = IncidentStore(tmp_path / "incidents.db")
    recorder = Recorder(log, incidents, POLICY, "all", lambda: NOW, Meters(version="0"))
    made = exchange()
    asyncio.run(recorder.closed(made, was_opened=False))
    body = log.body(made.record_id)
    assert body is not None and json.loads(body)["answer"] == SECRETS[4]
    log.close()
    incidents.close()
    held = b"".join(path.read_bytes() for path in (tmp_path / "audit").rglob("*") if path.is_file())
    assert not any(secret.encode() in held for secret in SECRETS if secret != "p_pseudonym")


@pytest.mark.parametrize("stream", [True, False])
def test_what_is_kept_of_an_answer_is_what_the_upstream_sent(stream: bool) -> None:
    """Also of one that was stopped: an incident must be provable."""
    reads = chunks(f"a {TERM}") if stream else [completion(f"a {TERM}")]
    rooms = Rooms(reads, bodies="blocked", content_type="text/event-stream" if stream else "application/json")
    rooms.run(rooms.client(request(stream=stream)))
    (body,) = [entry.body for entry in rooms.log.entries if entry.body is not None]
    assert json.loads(body)["answer"].startswith(reads[0].decode())
    assert json.loads(body)["prompt"]["messages"][0]["content"] == "hello"


def test_a_log_that_is_away_is_said_and_counted() -> None:
    """And nothing is left pending in the gauge."""
    log, meters = Log([], broken=frozenset({"exchange"})), Meters(version="0")
    recorder = Recorder(cast(Any, log), cast(Any, Incidents()), POLICY, "none", lambda: NOW, meters)
    with pytest.raises(LogUnavailable):
        asyncio.run(recorder.closed(exchange(), was_opened=False))
    assert "dutybound_audit_pending_records 0.0" in meters.scrape().decode()


def test_whether_answers_are_kept_is_known_before_they_come() -> None:
    """Nothing is collected for nothing."""
    for bodies, keeps in (("none", False), ("blocked", True), ("all", True)):
        made = Recorder(cast(Any, None), cast(Any, None), POLICY, bodies, lambda: NOW, Meters(version="0"))
        assert made.keeps_bodies is keeps


def test_a_sample_is_kept_beside_what_was_blocked() -> None:
    """By the id's random bits: about as many as asked for, the same ones for everybody who looks."""
    ids = [new_record_id() for _ in range(4_000)]
    share = sum(is_sampled(id_, 1_000) for id_ in ids) / len(ids)
    assert 0.07 < share < 0.13
    assert [is_sampled(id_, 1_000) for id_ in ids] == [is_sampled(id_, 1_000) for id_ in ids]
    assert not any(is_sampled(id_, 0) for id_ in ids) and all(is_sampled(id_, 10_000) for id_ in ids)
    for sample_bp, decisions, kept in ((0, (), False), (10_000, (), True), (0, (STOP,), True)):
        log = Log([])
        recorder = Recorder(
            cast(Any, log), cast(Any, Incidents()), POLICY, "sampled", lambda: NOW, Meters(version="0"), sample_bp
        )
        asyncio.run(recorder.closed(exchange(*decisions), was_opened=False))
        (entry,) = [entry for entry in log.entries if entry.fields["type"] == "exchange"]
        assert (entry.body is not None) is kept


def test_what_was_acknowledged_is_counted_by_type() -> None:
    """What failed is not: the log's own count is held against this one."""
    log = Log([], broken=frozenset({"open"}))
    recorder = Recorder(cast(Any, log), cast(Any, Incidents()), POLICY, "none", lambda: NOW, Meters(version="0"))
    asyncio.run(recorder.closed(exchange(), was_opened=False))
    with pytest.raises(LogUnavailable):
        asyncio.run(recorder.opened(exchange()))
    assert dict(recorder.counted) == {"exchange": 1}


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_asks_gets_a_receipt_for_the_record_it_waited_for(stream: bool, tmp_path: Path) -> None:
    """Signed by the log's key; who does not ask gets none."""
    AuditLog.create(tmp_path / "audit", "audit.example.com/test")
    audit = AuditLog.open(tmp_path / "audit", writer="gw-0", publish=False)
    rooms = Rooms(chunks("Hello.") if stream else [completion()], content_type=STREAM_TYPE if stream else JSON_TYPE)
    rooms.house.recorder._log = audit
    client = rooms.client(request(stream=stream), headers=((b"duty-receipt", b"1"),))
    rooms.run(client)
    receipt = open_receipt(client.answer_headers[b"duty-receipt"].decode(), audit.origin, [audit._signer.verifier])
    leaf = json.loads(audit.reader.leaf(receipt.index))
    assert (leaf["id"], leaf["type"]) == (receipt.record_id, "open" if stream else "exchange")
    assert receipt.record_id.encode() == client.answer_headers[b"duty-record"]
    silent = Rooms([completion()])
    silent.house.recorder._log = audit
    assert b"duty-receipt" not in silent.run(silent.client(request())).answer_headers
    audit.close()


def test_a_record_that_waits_on_this_disk_has_no_receipt_yet() -> None:
    """Its index is not known while the log's server is away."""
    recorder = Recorder(cast(Any, Log([])), cast(Any, Incidents()), POLICY, "none", lambda: NOW, Meters(version="0"))
    made = exchange()
    made.log_index = -1
    assert recorder.receipt(made) == []


def test_the_id_of_the_call_is_recorded_where_it_looks_like_one() -> None:
    """A bill names calls by it; anything else may hold anything."""
    for said, kept in (("req_011CQ-x.7", "req_011CQ-x.7"), ("my question?", "(unprintable)"), ("", None)):
        (entry, *_), _ = recorded(exchange(upstream_id=said))
        assert entry.fields.get("upstream_id") == kept
    rooms = Rooms([completion()])
    rooms.run()
    assert rooms.record["upstream_id"] == "up-1"
