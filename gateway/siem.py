# SPDX-License-Identifier: Apache-2.0
"""Records as events for a SIEM: the Open Cybersecurity Schema Framework (OCSF) 1.8.0, as JSON lines.

Exchanges become API Activity (6003) with the profiles `ai_operation` and `security_control`; incidents become Detection
Finding (2004); every other record becomes API Activity of the log itself. What must hold: nothing personal is in an
event that is not in its record, and so no pseudonym; each event has the record's id as `metadata.uid` and its index and
leaf hash under `unmapped`, so that it can be proven; a feed goes on at the index behind the last event that was taken,
so that none is lost and one that is sent twice has the same `uid`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

from audit_log.checkpoint import open_checkpoint
from audit_log.errors import AuditError, LogUnavailable, RecordInvalid, VerificationError
from audit_log.interfaces import LogStore
from audit_log.merkle import leaf_hash
from audit_log.record import parse_time_us
from audit_log.view import record_of
from gateway import __version__

OCSF_VERSION = "1.8.0"

_API_ACTIVITY, _DETECTION_FINDING = 6003, 2004
_CREATE, _UPDATE, _CLOSE, _OTHER = 1, 2, 3, 99
_INFORMATIONAL, _MEDIUM, _HIGH = 1, 3, 4
_ENDS = ("exchange", "close")
_ACTIONS = {"refuse": (2, 2), "stop": (2, 2), "modify": (4, 7)}
"""What a record's action is as `action_id` and `disposition_id`: denied and blocked, modified by an own action."""
_ALLOWED = (1, 1)
_FINDING_STEPS = {"opened": (_CREATE, 1), "closed": (_CLOSE, 4)}
"""An incident's event as `activity_id` and `status_id`; everything between is an update of what is in progress."""


class FeedError(AuditError):
    """Events could not be handed on; they stay in the log, and the next run begins with them."""


class Sink(Protocol):
    """Where events go. ``name`` is that of the file that remembers how far it is."""

    @property
    def name(self) -> str: ...

    def take(self, lines: Sequence[bytes]) -> None:
        """Events, one a line; they are safe on return. Raises FeedError where they may not be."""
        ...


def ocsf_event(index: int, leaf: bytes, *, origin: str, provider: str) -> dict[str, Any]:
    """The event of a record. ``provider``: who is behind the model, as the settings name it."""
    record = record_of(leaf)
    kind = _text(record, "type") or "unknown"
    event: dict[str, Any] = {
        "time": _time_ms(record),
        "metadata": {
            "version": OCSF_VERSION,
            "product": {"name": "Dutybound", "vendor_name": "Dutybound", "version": __version__},
            "uid": _text(record, "id") or f"{origin}#{index}",
            "log_name": origin,
            "sequence": index,
        },
        "unmapped": {
            "origin": origin,
            "index": index,
            "leaf_hash": leaf_hash(leaf).hex(),
            **{f"record_{name}": record[name] for name in _KEPT if isinstance(record.get(name), str)},
        },
    }
    tenant = _text(record, "tenant")
    if tenant:
        event["metadata"]["tenant_uid"] = tenant
    if kind == "incident":
        profiles, more = ["security_control"], _finding(record)
    elif kind in (*_ENDS, "open"):
        profiles, more = ["ai_operation", "security_control"], _exchange(record, provider)
    else:
        profiles, more = [], _act(record, kind)
    event["metadata"]["profiles"] = profiles
    return {**event, **more}


_KEPT = ("type", "class", "verdict", "action", "outcome", "event", "incident", "case", "exchange", "rule")


def _exchange(record: Mapping[str, object], provider: str) -> dict[str, Any]:
    is_end = record.get("type") in _ENDS
    action = _text(record, "action")
    action_id, disposition_id = _ACTIONS.get(action, _ALLOWED) if is_end else (0, 0)
    event: dict[str, Any] = {
        **_head(_API_ACTIVITY, _CREATE if is_end else _OTHER, "Create" if is_end else "open"),
        "severity_id": _MEDIUM if action_id == 2 else _INFORMATIONAL,
        "actor": {"app_name": _text(record, "tenant") or "unknown"},
        "src_endpoint": {"svc_name": _text(record, "tenant") or "unknown"},
        "api": {"operation": _text(record, "wire") or "unknown", "service": {"name": "dutybound"}},
        "message_context": {"service": {"name": "dutybound"}, "ai_role_id": 2, **_tokens(record)},
        "action_id": action_id,
        "disposition_id": disposition_id,
        "is_alert": action_id == 2,
    }
    if is_end:
        event["status_id"] = 1 if record.get("outcome") == "completed" else 2
    model = _text(record, "model")
    if model:
        event["ai_model"] = {"name": model, "ai_provider": provider or "unknown"}
    policy = record.get("policy")
    if isinstance(policy, dict):
        event["policy"] = {"name": str(policy.get("id")), "version": str(policy.get("version"))}
        event["policy"]["uid"] = str(policy.get("digest"))
    return event


def _act(record: Mapping[str, object], kind: str) -> dict[str, Any]:
    step = _text(record, "event")
    who = _text(record, "by") or _text(record, "actor") or _text(record, "writer") or "unknown"
    return {
        **_head(_API_ACTIVITY, _OTHER, kind),
        "severity_id": _INFORMATIONAL,
        "actor": {"app_name": who},
        "src_endpoint": {"svc_name": "dutybound"},
        "api": {"operation": f"{kind}.{step}" if step else kind, "service": {"name": "dutybound"}},
    }


def _finding(record: Mapping[str, object]) -> dict[str, Any]:
    class_ = _text(record, "class")
    activity_id, status_id = _FINDING_STEPS.get(_text(record, "event"), (_UPDATE, 2))
    finding: dict[str, Any] = {
        "uid": _text(record, "incident") or _text(record, "id"),
        "title": f"Content of class {class_} was stopped" if class_ else "A safety event",
    }
    if class_:
        finding["types"] = [class_]
    return {
        **_head(_DETECTION_FINDING, activity_id, {_CREATE: "Create", _CLOSE: "Close"}.get(activity_id, "Update")),
        "severity_id": _HIGH,
        "status_id": status_id,
        "finding_info": finding,
        "is_alert": activity_id == _CREATE,
        "action_id": 2,
        "disposition_id": 2,
    }


def _head(class_uid: int, activity_id: int, activity: str) -> dict[str, Any]:
    return {
        "class_uid": class_uid,
        "category_uid": class_uid // 1_000,
        "activity_id": activity_id,
        "activity_name": activity,
        "type_uid": class_uid * 100 + activity_id,
    }


def _tokens(record: Mapping[str, object]) -> dict[str, int]:
    tokens = record.get("tokens")
    counts = [tokens.get(name) for name in ("in", "out")] if isinstance(tokens, dict) else []
    if len(counts) != 2 or not all(isinstance(count, int) and count >= 0 for count in counts):
        return {}
    into, out = (int(str(count)) for count in counts)
    return {"prompt_tokens": into, "completion_tokens": out, "total_tokens": into + out}


def _time_ms(record: Mapping[str, object]) -> int:
    try:
        return parse_time_us(record.get("t")) // 1_000
    except RecordInvalid:
        return 0


def _text(record: Mapping[str, object], name: str) -> str:
    value = record.get(name)
    return value if isinstance(value, str) else ""


def event_line(index: int, leaf: bytes, *, origin: str, provider: str) -> bytes:
    """The event of a record as one line of JSON."""
    event = ocsf_event(index, leaf, origin=origin, provider=provider)
    return json.dumps(event, separators=(",", ":")).encode() + b"\n"


class FileSink:
    """A file of JSON lines, appended to; whoever turns it over renames it, and a new one is begun."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def name(self) -> str:
        return f"file-{sha256(str(self._path.absolute()).encode()).hexdigest()[:12]}"

    def take(self, lines: Sequence[bytes]) -> None:
        """Append and sync; half a line that a crash left is ended first, so that no event is glued to it."""
        try:
            with self._path.open("a+b") as file:
                if file.seek(0, os.SEEK_END) and (file.seek(-1, os.SEEK_END), file.read(1))[1] != b"\n":
                    file.write(b"\n")
                file.write(b"".join(lines))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise FeedError(f"{self._path.name} cannot be written: {error.strerror}") from None


class HttpSink:
    """An address that takes JSON lines (`application/x-ndjson`). Whatever is not 2xx was not taken."""

    def __init__(self, url: str, post: Callable[[str, bytes], tuple[int, bytes]]) -> None:
        """`post` gives status and answer, and raises OSError where nobody answers."""
        self._url = url
        self._post = post

    @property
    def name(self) -> str:
        return f"http-{sha256(self._url.encode()).hexdigest()[:12]}"

    def take(self, lines: Sequence[bytes]) -> None:
        """One request."""
        try:
            status, _ = self._post(self._url, b"".join(lines))
        except OSError as error:
            raise FeedError(f"the SIEM cannot be reached: {error}") from None
        if not 200 <= status < 300:
            raise FeedError(f"the SIEM answered with status {status}")


@dataclass(frozen=True, slots=True)
class Fed:
    """What a run did: events handed on, the index it goes on with, and how many records were pruned unseen."""

    events: int
    next_index: int
    missed: int


class Feed:
    """Hands a log's published records on to one sink. Blocks; one at a time for each sink."""

    def __init__(self, folder: Path, sink: Sink, *, provider: str, batch: int) -> None:
        """``folder`` remembers how far each sink is; it is made when first needed."""
        self._state = folder / f"{sink.name}.json"
        self._sink = sink
        self._provider = provider
        self._batch = batch

    def position(self) -> int:
        """The index that the sink gets next; 0 for a new one. Raises FeedError where it cannot be read."""
        try:
            found = json.loads(self._state.read_bytes())["next"]
        except FileNotFoundError:
            return 0
        except (OSError, ValueError, KeyError, TypeError):
            found = None
        if not isinstance(found, int) or found < 0:
            raise FeedError(f"{self._state.name} does not say how far the feed is; delete it to begin anew")
        return found

    def run(self, store: LogStore, head: bytes, origin: str, verifiers: Sequence[Any]) -> Fed:
        """Hand on everything that the checkpoint ``head`` covers. Raises FeedError, LogUnavailable."""
        end = open_checkpoint(head, origin, verifiers).size
        position = self.position()
        begin = max(position, store.minimum())
        events, at = 0, begin
        for lines in self._lines(store, begin, end, origin):
            self._sink.take(lines)
            at += len(lines)
            events += len(lines)
            self._keep(at)
        if at < end:
            raise VerificationError(f"leaf {at} is missing from the database; run audit verify")
        return Fed(events, at, begin - position)

    def _lines(self, store: LogStore, begin: int, end: int, origin: str) -> Iterator[list[bytes]]:
        lines: list[bytes] = []
        for index, leaf in enumerate(store.leaves(begin, end), begin):
            lines.append(event_line(index, leaf, origin=origin, provider=self._provider))
            if len(lines) == self._batch:
                yield lines
                lines = []
        if lines:
            yield lines

    def _keep(self, position: int) -> None:
        try:
            self._state.parent.mkdir(mode=0o700, exist_ok=True)
            unfinished = self._state.with_suffix(".new")
            with unfinished.open("wb") as file:
                file.write(json.dumps({"next": position}).encode())
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(self._state)
        except OSError as error:
            raise LogUnavailable(f"how far the feed is cannot be kept: {error.strerror}") from None
