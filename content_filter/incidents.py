# SPDX-License-Identifier: Apache-2.0
"""Incidents: illegal content was found and stopped (Interim Measures for Generative AI Services, article 14).

An incident points at its evidence (exchange record, offsets, class, rule, filter digest, model) and holds no text of a
prompt or an answer. It begins `open`; every later state is a step of `incident_workflow`, kept with who took it, when
and why. Beside it stand notes of those who handle it, and the facts that its reports are filled from.

What must hold: what is written is on disk when the call returns (SQLite, synchronous=FULL); incidents are never changed
except in their state, and never deleted here; who takes a step may name the last step they saw, and is refused where
somebody else was faster; several threads and several processes may use one file.
"""

import asyncio
import functools
import json
import os
import sqlite3
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from content_filter.errors import FilterConflict, FilterError, FilterInvalid, FilterNotFound
from content_filter.incident_state import IncidentState as IncidentState
from content_filter.incident_state import Transition as Transition
from content_filter.incident_workflow import check_step
from content_filter.roles import Role
from content_filter.taxonomy import CLASSES

_SCHEMA_VERSION = 2
_MOST_NOTE_CHARS = 4_000
_MOST_FACTS_CHARS = 40_000
_BUSY_TIMEOUT_S = 10.0
# Beside its own errors, sqlite3 answers a value that it cannot store (too large, not Unicode) with these.
_CANNOT = (sqlite3.Error, OverflowError, UnicodeError)
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Incident:
    """One finding. Offsets count characters of the text that was judged; times are seconds since the epoch."""

    id: str
    opened_at_s: float
    class_code: str
    rule: str
    role: Role
    record_id: str
    """The exchange's record in the audit log."""
    tenant: str
    subject: str
    """Pseudonym of the end user; empty when unknown."""
    released_chars: int
    """How much of the text had left when it was stopped; 0 for a prompt."""
    start: int
    end: int
    filter_digest: str
    state: IncidentState = IncidentState.OPEN
    model: str = ""
    """The model that was asked, as the exchange named it."""
    body_record: str = ""
    """The record whose sealed body holds prompt and answer, where bodies are kept; of a stream its closing record."""
    released: str = "[]"
    """What had left when it was stopped, as JSON: characters of each lane of a stream."""

    def __post_init__(self) -> None:
        # From a row the two come back as plain strings.
        object.__setattr__(self, "role", Role(self.role))
        object.__setattr__(self, "state", IncidentState(self.state))
        if self.class_code not in CLASSES:
            raise FilterError("an incident names an unknown class; expected A1a to A5b or INJ")
        if not (self.id and self.record_id):
            raise FilterError("an incident needs an id and the id of its exchange record")
        if not 0 <= self.start <= self.end or self.released_chars < 0:
            raise FilterError("the offsets of an incident must satisfy 0 <= start <= end and 0 <= released_chars")


@dataclass(frozen=True, slots=True)
class Note:
    """A note for the file of an incident; `at_s` is seconds since the epoch."""

    incident_id: str
    number: int
    at_s: float
    actor: str
    text: str


def new_incident_id(clock: Callable[[], float], entropy: Callable[[int], bytes] = os.urandom) -> str:
    """`inc_`, the time in milliseconds as 12 hex digits, and 64 random bits: sorts by time, cannot be guessed.

    `clock` gives seconds since the epoch, `entropy(n)` n random bytes.
    """
    return f"inc_{int(clock() * 1000):012x}{entropy(8).hex()}"


_COLUMNS = tuple(field.name for field in fields(Incident))

_SCHEMA = f"""
CREATE TABLE incident (
    id TEXT PRIMARY KEY,
    opened_at_s REAL NOT NULL,
    class_code TEXT NOT NULL,
    rule TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('prompt', 'answer')),
    record_id TEXT NOT NULL,
    tenant TEXT NOT NULL,
    subject TEXT NOT NULL,
    released_chars INTEGER NOT NULL CHECK (released_chars >= 0),
    start INTEGER NOT NULL CHECK (start >= 0),
    "end" INTEGER NOT NULL CHECK ("end" >= start),
    filter_digest TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ({", ".join(f"'{state}'" for state in IncidentState)}))
) STRICT;
CREATE INDEX incident_by_time ON incident (opened_at_s, id);
CREATE INDEX incident_by_state ON incident (state, opened_at_s, id);
CREATE INDEX incident_by_record ON incident (record_id);
CREATE TABLE incident_transition (
    incident_id TEXT NOT NULL REFERENCES incident (id),
    number INTEGER NOT NULL,
    at_s REAL NOT NULL,
    actor TEXT NOT NULL,
    before TEXT NOT NULL,
    after TEXT NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (incident_id, number)
) STRICT;
"""
_SCHEMA_2 = """
ALTER TABLE incident ADD COLUMN model TEXT NOT NULL DEFAULT '';
ALTER TABLE incident ADD COLUMN body_record TEXT NOT NULL DEFAULT '';
ALTER TABLE incident ADD COLUMN released TEXT NOT NULL DEFAULT '[]';
CREATE TABLE incident_note (
    incident_id TEXT NOT NULL REFERENCES incident (id),
    number INTEGER NOT NULL,
    at_s REAL NOT NULL,
    actor TEXT NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (incident_id, number)
) STRICT;
CREATE TABLE incident_facts (
    incident_id TEXT PRIMARY KEY REFERENCES incident (id),
    at_s REAL NOT NULL,
    actor TEXT NOT NULL,
    facts TEXT NOT NULL
) STRICT;
"""
_MIGRATIONS = (_SCHEMA, _SCHEMA_2)
"""What leads from each version of the file to the next."""

_QUOTED = ", ".join(f'"{name}"' for name in _COLUMNS)  # `end` is a word of SQL
_SELECT = f"SELECT {_QUOTED} FROM incident"
_INSERT = f"INSERT INTO incident ({_QUOTED}) VALUES ({', '.join('?' * len(_COLUMNS))})"


class IncidentStore:
    """Incidents in one SQLite file. Every method may be called from any thread; those ending in `_async` from a loop.

    The file is made, readable by its owner alone, when it is not there. Raises `FilterError` for a file that is not
    one of ours or cannot be used.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._lock = threading.Lock()
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="incidents")
        try:
            # SQLite would make the file readable by all; it holds pseudonyms.
            os.close(os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
            self._connection = sqlite3.connect(
                self._path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
        except (OSError, sqlite3.Error) as error:
            raise FilterError(f"{self._path}: the incident store cannot be opened; check folder and rights") from error
        try:
            self._prepare()
        except sqlite3.Error as error:
            self._connection.close()
            raise FilterError(f"{self._path}: not an incident store that can be used") from error
        except FilterError:
            self._connection.close()
            raise

    def open(self, incident: Incident, *, actor: str = "filter", reason: str = "") -> None:
        """Writes a new incident; on disk when this returns. Raises `FilterError` if the id exists or writing fails."""
        if incident.state is not IncidentState.OPEN:
            raise FilterError("a new incident must be open; later states are reached by transitions")
        try:
            with self._lock, self._connection:
                self._connection.execute("BEGIN IMMEDIATE")
                self._connection.execute(_INSERT, astuple(incident))
                self._connection.execute(
                    "INSERT INTO incident_transition VALUES (?, 1, ?, ?, '', ?, ?)",
                    (incident.id, incident.opened_at_s, actor, incident.state, reason),
                )
        except _CANNOT as error:
            if getattr(error, "sqlite_errorname", "") == "SQLITE_CONSTRAINT_PRIMARYKEY":
                raise FilterError(f"incident {incident.id} exists already; ids are never used twice") from error
            raise FilterError(f"incident {incident.id} could not be written") from error

    def move(
        self,
        incident_id: str,
        after: IncidentState | str,
        *,
        at_s: float,
        actor: str,
        reason: str = "",
        version: int | None = None,
    ) -> Transition:
        """Takes a step (`incident_workflow`); on disk when this returns. `at_s` is seconds since the epoch.

        `version` is the number of the last step that the caller saw; another one is a conflict. Raises
        `FilterNotFound`, `FilterConflict` for a step that is not allowed or where somebody was faster, `FilterInvalid`
        for what is wrong with the step itself; then nothing has changed. Of two who take a step at once, the second is
        judged by what the first did.
        """
        try:
            wanted = IncidentState(after)
        except ValueError:
            raise FilterInvalid(f"unknown state; expected {', '.join(IncidentState)}") from None
        try:
            with self._lock, self._connection:
                self._connection.execute("BEGIN IMMEDIATE")
                row = self._connection.execute(
                    "SELECT incident.state, max(step.number), max(step.at_s) FROM incident"
                    " JOIN incident_transition AS step ON step.incident_id = incident.id WHERE incident.id = ?",
                    (incident_id,),
                ).fetchone()
                if row[0] is None:
                    raise FilterNotFound("no incident has this id")
                before, number, last_at_s = IncidentState(row[0]), row[1] + 1, row[2]
                if version is not None and version != row[1]:
                    raise FilterConflict(f"the incident is at version {row[1]}, not {version}; read it again")
                check_step(before, wanted, actor, reason)
                if at_s < last_at_s:
                    raise FilterInvalid("a step cannot be earlier than the one before it; check the clock")
                step = Transition(incident_id, number, at_s, actor, before, wanted, reason)
                self._connection.execute("INSERT INTO incident_transition VALUES (?, ?, ?, ?, ?, ?, ?)", astuple(step))
                self._connection.execute("UPDATE incident SET state = ? WHERE id = ?", (wanted, incident_id))
        except _CANNOT as error:
            raise FilterError(f"the step of incident {incident_id} could not be written") from error
        return step

    async def move_async(
        self,
        incident_id: str,
        after: IncidentState | str,
        *,
        at_s: float,
        actor: str,
        reason: str = "",
        version: int | None = None,
    ) -> Transition:
        """`move` without blocking the event loop."""
        return await self._in_worker(
            functools.partial(self.move, incident_id, after, at_s=at_s, actor=actor, reason=reason, version=version)
        )

    def add_note(self, incident_id: str, text: str, *, at_s: float, actor: str) -> Note:
        """Adds a note to the file; on disk when this returns. Raises `FilterNotFound`, and `FilterInvalid` for a text
        that is empty or too long."""
        if not text.strip() or len(text) > _MOST_NOTE_CHARS:
            raise FilterInvalid(f"a note has 1 to {_MOST_NOTE_CHARS} characters")
        try:
            with self._lock, self._connection:
                self._connection.execute("BEGIN IMMEDIATE")
                self._require(incident_id)
                (number,) = self._connection.execute(
                    "SELECT count(*) + 1 FROM incident_note WHERE incident_id = ?", (incident_id,)
                ).fetchone()
                note = Note(incident_id, number, at_s, actor, text)
                self._connection.execute("INSERT INTO incident_note VALUES (?, ?, ?, ?, ?)", astuple(note))
        except _CANNOT as error:
            raise FilterError(f"the note about incident {incident_id} could not be written") from error
        return note

    def notes(self, incident_id: str) -> tuple[Note, ...]:
        """The notes of an incident, in order."""
        rows = self._rows("SELECT * FROM incident_note WHERE incident_id = ? ORDER BY number", (incident_id,))
        return tuple(Note(*row) for row in rows)

    def set_facts(self, incident_id: str, facts: Mapping[str, Any], *, at_s: float, actor: str) -> None:
        """Keeps what reports are filled from, in place of what was kept; on disk when this returns. Raises
        `FilterNotFound`, and `FilterInvalid` for too much."""
        text = json.dumps(dict(facts), ensure_ascii=False)
        if len(text) > _MOST_FACTS_CHARS:
            raise FilterInvalid(f"the facts of an incident have at most {_MOST_FACTS_CHARS} characters")
        try:
            with self._lock, self._connection:
                self._connection.execute("BEGIN IMMEDIATE")
                self._require(incident_id)
                self._connection.execute(
                    "INSERT OR REPLACE INTO incident_facts VALUES (?, ?, ?, ?)", (incident_id, at_s, actor, text)
                )
        except _CANNOT as error:
            raise FilterError(f"the facts of incident {incident_id} could not be written") from error

    def facts(self, incident_id: str) -> dict[str, Any]:
        """What reports are filled from; empty where nobody stated anything."""
        rows = self._rows("SELECT facts FROM incident_facts WHERE incident_id = ?", (incident_id,))
        found: dict[str, Any] = json.loads(rows[0][0]) if rows else {}
        return found

    def unsettled(self, limit: int) -> dict[str, tuple[Transition, ...]]:
        """The histories of incidents that are neither closed nor false alarms, by id, the oldest `limit` of them."""
        rows = self._rows(
            "WITH some AS (SELECT id, opened_at_s FROM incident WHERE state NOT IN (?, ?) ORDER BY opened_at_s, id"
            " LIMIT ?) SELECT step.incident_id, step.number, step.at_s, step.actor, step.before, step.after,"
            " step.reason FROM some JOIN incident_transition AS step ON step.incident_id = some.id"
            " ORDER BY some.opened_at_s, some.id, step.number",
            (IncidentState.CLOSED, IncidentState.FALSE_ALARM, limit),
        )
        found: dict[str, tuple[Transition, ...]] = {}
        for incident, number, at_s, actor, before, after, reason in rows:
            step = Transition(incident, number, at_s, actor, before, IncidentState(after), reason)
            found[incident] = (*found.get(incident, ()), step)
        return found

    def _require(self, incident_id: str) -> None:
        if self._connection.execute("SELECT 1 FROM incident WHERE id = ?", (incident_id,)).fetchone() is None:
            raise FilterNotFound("no incident has this id")

    def get(self, incident_id: str) -> Incident | None:
        """The incident, or None."""
        rows = self._rows(f"{_SELECT} WHERE id = ?", (incident_id,))
        return Incident(*rows[0]) if rows else None

    def list(
        self,
        *,
        state: IncidentState | str | None = None,
        record_id: str | None = None,
        after: str = "",
        limit: int = 100,
    ) -> tuple[Incident, ...]:
        """Incidents, oldest first, at most `limit`.

        `after` is the id of the last incident of the page before, empty for the first page. Raises `FilterError` for a
        state or an id that does not exist and for a negative limit.
        """
        if limit < 0:
            raise FilterError("the limit of a list must not be negative")
        conditions, values = ["TRUE"], list[object]()
        if after:
            last = self.get(after)
            if last is None:
                raise FilterError("no incident has the id to go on after; begin with the first page")
            conditions.append("(opened_at_s, id) > (?, ?)")
            values += (last.opened_at_s, last.id)
        if state is not None:
            if state not in tuple(IncidentState):
                raise FilterError(f"unknown state; expected {', '.join(IncidentState)}")
            conditions.append("state = ?")
            values.append(state)
        if record_id is not None:
            conditions.append("record_id = ?")
            values.append(record_id)
        where = " AND ".join(conditions)
        rows = self._rows(f"{_SELECT} WHERE {where} ORDER BY opened_at_s, id LIMIT ?", (*values, limit))
        return tuple(Incident(*row) for row in rows)

    def history(self, incident_id: str) -> tuple[Transition, ...]:
        """The steps of an incident so far, in order."""
        rows = self._rows(
            "SELECT incident_id, number, at_s, actor, before, after, reason FROM incident_transition"
            " WHERE incident_id = ? ORDER BY number",
            (incident_id,),
        )
        return tuple(
            Transition(incident, number, at_s, actor, before, IncidentState(after), reason)
            for incident, number, at_s, actor, before, after, reason in rows
        )

    async def open_async(self, incident: Incident, *, actor: str = "filter", reason: str = "") -> None:
        """`open` without blocking the event loop. Cancelling the waiter does not undo the write."""
        await self._in_worker(functools.partial(self.open, incident, actor=actor, reason=reason))

    async def get_async(self, incident_id: str) -> Incident | None:
        """`get` without blocking the event loop."""
        return await self._in_worker(functools.partial(self.get, incident_id))

    async def list_async(
        self,
        *,
        state: IncidentState | str | None = None,
        record_id: str | None = None,
        after: str = "",
        limit: int = 100,
    ) -> tuple[Incident, ...]:
        """`list` without blocking the event loop."""
        return await self._in_worker(
            functools.partial(self.list, state=state, record_id=record_id, after=after, limit=limit)
        )

    async def history_async(self, incident_id: str) -> tuple[Transition, ...]:
        """`history` without blocking the event loop."""
        return await self._in_worker(functools.partial(self.history, incident_id))

    def close(self) -> None:
        """Waits for what is being written and closes the file. Calling it again does nothing."""
        self._worker.shutdown(wait=True)
        with self._lock:
            self._connection.close()

    async def _in_worker(self, call: Callable[[], _Result]) -> _Result:
        try:
            waiting = asyncio.get_running_loop().run_in_executor(self._worker, call)
        except RuntimeError as error:  # what an executor raises after its shutdown
            raise FilterError(f"{self._path}: the incident store is closed") from error
        return await waiting

    def _rows(self, query: str, values: tuple[object, ...]) -> tuple[tuple[Any, ...], ...]:
        try:
            with self._lock:
                return tuple(self._connection.execute(query, values))
        except _CANNOT as error:
            raise FilterError(f"{self._path}: the incident store could not be read") from error

    def _prepare(self) -> None:
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute("PRAGMA foreign_keys = ON")
        # Several processes may start at once: whoever gets the write lock first makes the tables.
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            (version,) = self._connection.execute("PRAGMA user_version").fetchone()
            if 0 <= version < _SCHEMA_VERSION:
                for schema in _MIGRATIONS[version:]:
                    for statement in filter(str.strip, schema.split(";")):
                        self._connection.execute(statement)
                self._connection.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")
            elif version != _SCHEMA_VERSION:
                raise FilterError(f"{self._path}: incident store of version {version}; expected {_SCHEMA_VERSION}")
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")
