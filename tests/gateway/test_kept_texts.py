# SPDX-License-Identifier: Apache-2.0
"""The text of a sealed answer, read under the rules of sealed bodies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from audit_log import AuditLog, Entry, new_record_id
from audit_log.access import all_accesses, approve_access
from audit_log.holds import Approval
from content_filter import Incident, Role
from gateway.kept_texts import JudgedTexts, answer_text
from tests.gateway.rooms import chunks, completion

PROMPT = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}


def body(answer: bytes) -> bytes:
    """What the gateway keeps."""
    return orjson.dumps({"prompt": PROMPT, "answer": answer.decode()})


@pytest.mark.parametrize(
    ("kept", "wire", "is_stream", "text"),
    [
        (body(completion("Hello.")), "openai_chat", False, "Hello."),
        (body(b"".join(chunks("Hel", "lo."))), "openai_chat", True, "Hello."),
        (body(b"".join(chunks("Hel", ends=False))), "openai_chat", True, "Hel"),
        (body(b""), "openai_chat", True, None),
        (body(b"no json"), "openai_chat", False, None),
        (body(completion()), "unheard_of", False, None),
        (b"no json", "openai_chat", False, None),
        (b'{"prompt": 1}', "openai_chat", False, None),
    ],
)
def test_an_answer_is_read_as_its_wire_reads_it(kept: bytes, wire: str, is_stream: bool, text: str | None) -> None:
    """Whole, streamed, and cut off where it was stopped."""
    assert answer_text(kept, wire, is_stream=is_stream) == text


@pytest.fixture
def log(tmp_path: Path) -> Iterator[AuditLog]:
    """A log."""
    AuditLog.create(tmp_path / "audit", "audit.example.com/texts")
    made = AuditLog.open(tmp_path / "audit", writer="gw-test")
    yield made
    made.close()


def incident(record_id: str) -> Incident:
    """A finding in the answer of this record."""
    return Incident(
        "inc_1", 1.0, "A1a", "term:7", Role.ANSWER, record_id, "default", "p1", 0, 0, 3, "sha256:00",
        body_record=record_id,
    )  # fmt: skip


def kept(log: AuditLog, answer: bytes) -> str:
    """A record with a sealed body; gives its id."""
    record_id = new_record_id()
    fields: dict[str, Any] = {"id": record_id, "type": "close", "wire": "openai_chat", "stream": True}
    log.append_blocking(Entry(fields, subject="p1", body=body(answer)), 30)
    return record_id


def test_a_text_is_read_after_its_record_and_where_two_agree(log: AuditLog) -> None:
    """Asked for once; left out until the second person agreed; then read, and each reading is on record."""
    import time

    record_id = kept(log, b"".join(chunks("Hello.")))
    officer, other = Approval("t1", "officer"), Approval("t2", "officer")

    def texts() -> JudgedTexts:
        return JudgedTexts(log, officer, 24.0, needs_second=True, clock=time.time)

    first = texts()
    assert first.text_of(incident(record_id)) is None
    assert (first.waiting, first.missing) == (1, 0)
    again = texts()
    assert again.text_of(incident(record_id)) is None
    (access,) = all_accesses(log.store)
    assert (access.reason, access.record_id) == ("incident:inc_1", record_id)
    approve_access(log, access.id, other)
    done = texts()
    assert done.text_of(incident(record_id)) == "Hello."
    assert (done.waiting, done.missing) == (0, 0)
    assert all_accesses(log.store)[0].reads == 1
    assert (done.language_of("你好"), done.language_of("hello"), done.language_of("42")) == ("zh", "en", "zh")


def test_without_the_rule_of_two_it_is_read_at_once_and_what_is_not_kept_is_counted(log: AuditLog) -> None:
    """A permission that has ended is asked for anew."""
    import time

    record_id = kept(log, b"".join(chunks("Hello.")))
    alone = JudgedTexts(log, Approval("t1", "officer"), 24.0, needs_second=False, clock=time.time)
    assert alone.text_of(incident(record_id)) == "Hello."
    assert alone.text_of(incident(new_record_id())) is None
    assert alone.text_of(replace(incident(record_id), body_record="")) is None
    assert (alone.waiting, alone.missing) == (0, 2)
    later = JudgedTexts(log, Approval("t1", "officer"), 24.0, needs_second=False, clock=lambda: time.time() + 90_000)
    assert later._accesses == {}
