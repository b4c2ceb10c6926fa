# SPDX-License-Identifier: Apache-2.0
"""Incidents: illegal content was found and stopped (Interim Measures for Generative AI Services, article 14).

An incident points at its evidence (exchange record, offsets, class, rule, filter digest) and holds no text. It begins
`open`; every later state is a step of `incident_workflow`, kept with who took it, when and why.

What must hold: an incident is on disk when `open` returns (SQLite, synchronous=FULL); incidents are never changed
except in their state, and never deleted here; several threads and several processes may use one file.
"""

import asyncio
import functools
import os
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from content_filter.errors import FilterError
from content_filter.incident_state import IncidentState as IncidentState
from content_filter.incident_state import Transition as Transition
from content_filter.incident_workflow import check_step
from content_filter.roles import Role
from content_filter.taxonomy import CLASSES

_SCHEMA_VERSION = 1
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
        self, incident_id: str, after: IncidentState | str, *, at_s: float, actor: str, reason: str = ""
    ) -> Transition:
        """Takes a step (`incident_workflow`); on disk when this returns. `at_s` is seconds since the epoch.

        Raises `FilterError` for an incident that is not there, a step that is not allowed, or a time before the last
        step; then nothing has changed. Of two who take a step at once, the second is judged by what the first did.
        """
        try:
            wanted = IncidentState(after)
        except ValueError:
            raise FilterError(f"unknown state; expected {', '.join(IncidentState)}") from None
        try:
            with self._lock, self._connection:
                self._connection.execute("BEGIN IMMEDIATE")
                row = self._connection.execute(
                    "SELECT incident.state, max(step.number), max(step.at_s) FROM incident"
                    " JOIN incident_transition AS step ON step.incident_id = incident.id WHERE incident.id = ?",
                    (incident_id,),
                ).fetchone()
                if row[0] is None:
                    raise FilterError("no incident has this id")
                before, number, last_at_s = IncidentState(row[0]), row[1] + 1, row[2]
                check_step(before, wanted, actor, reason)
                if at_s < last_at_s:
                    raise FilterError("a step cannot be earlier than the one before it; check the clock")
                step = Transition(incident_id, number, at_s, actor, before, wanted, reason)
                self._connection.execute("INSERT INTO incident_transition VALUES (?, ?, ?, ?, ?, ?, ?)", astuple(step))
                self._connection.execute("UPDATE incident SET state = ? WHERE id = ?", (wanted, incident_id))
        except _CANNOT as error:
            raise FilterError(f"the step of incident {incident_id} could not be written") from error
        return step

    async def move_async(
        self, incident_id: str, after: IncidentState | str, *, at_s: float, actor: str, reason: str = ""
    ) -> Transition:
        """`move` without blocking the event loop."""
        return await self._in_worker(
            functools.partial(self.move, incident_id, after, at_s=at_s, actor=actor, reason=reason)
        )

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
            if version == 0:
                for statement in filter(str.strip, _SCHEMA.split(";")):
                    self._connection.execute(statement)
                self._connection.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")
            elif version != _SCHEMA_VERSION:
                raise FilterError(f"{self._path}: incident store of version {version}; expected {_SCHEMA_VERSION}")
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")
