# SPDX-License-Identifier: Apache-2.0
"""Keeps cases in one SQLite file: durable when a call returns, safe to use from several threads and processes.

What must hold: a write is one transaction, `BEGIN IMMEDIATE`, WAL with synchronous=FULL, so it is on disk before the
call returns and a crash leaves all of it or nothing; a case moves only from the version the caller read (optimistic
lock); history is append-only, which triggers enforce; words arrive here sealed and the store has no key. Every event
enters `case_facts` in its own transaction, so its way into the audit log survives any crash.

All calls block: from asyncio use `await asyncio.to_thread(...)`. Errors of the database become `Unavailable`.
"""

import fcntl
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from complaints.case import Case, CaseEvent, Category
from complaints.errors import Conflict, NotFound, Unavailable, WrongKey
from complaints.schema import case_events, case_facts, case_texts, cases, desk_key
from complaints.workflow import Act, Decision, Role, State

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_BUSY_TIMEOUT_MS = 10_000
_WRITE = "complaints_write"


@dataclass(frozen=True, slots=True)
class SealedText:
    """Sealed words and their place: the event they came with and which field of it."""

    seq: int
    field: str
    sealed: bytes


@dataclass(frozen=True, slots=True)
class StoredCase:
    """A case as it lies in the store, with its whole history."""

    case: Case
    history: tuple[CaseEvent, ...]


@dataclass(frozen=True, slots=True)
class CaseFilter:
    """Which cases to list; `None` does not restrict. `overdue_at` is the moment to judge overdue by."""

    state: State | None = None
    category: Category | None = None
    tenant: str | None = None
    is_overdue: bool | None = None
    overdue_at: datetime = EPOCH


@dataclass(frozen=True, slots=True)
class Counts:
    """Figures for gauges: cases in each state, cases past an open limit, facts not yet in the audit log."""

    by_state: dict[State, int]
    overdue: int
    unrecorded: int


class CaseStore:
    """The case store; make one with `CaseStore.open(path)` and `close()` it at the end."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Self:
        """Open the file at `path`, creating it (readable by its owner alone) and bringing its schema up to date.

        The folder must exist. Each process opens its own store, after it was forked. Raises `Unavailable` where the
        file cannot be opened or is no case store.
        """
        file = Path(path)
        store = cls(_engine(file))
        try:
            with _one_at_a_time(file.parent):
                _create_private(file)
                with store._transaction(write=True) as connection:
                    _migrate(connection)
        except OSError as error:
            raise Unavailable(f"cannot open the case store: {error.strerror}") from error
        except BaseException:
            store.close()
            raise
        return store

    def close(self) -> None:
        """Close every connection. Calls after this open new ones."""
        self._engine.dispose()

    def bind_key(self, fingerprint: bytes) -> None:
        """Tie the store to a key at first use. Raises `WrongKey` where it is tied to another one."""
        with self._transaction(write=True) as connection:
            kept = connection.execute(sa.select(desk_key.c.fingerprint)).scalar()
            if kept is None:
                connection.execute(desk_key.insert().values(id=1, fingerprint=fingerprint))
            elif kept != fingerprint:
                raise WrongKey("the case store was made with another key; start with that key")

    def create(self, case: Case, secret_hash: bytes, history: Sequence[CaseEvent], texts: Sequence[SealedText]) -> None:
        """Store a new case. Raises `Conflict` where its id or receipt is taken: draw again."""
        with self._transaction(write=True) as connection:
            try:
                connection.execute(cases.insert().values(secret_hash=secret_hash, **_case_row(case)))
            except IntegrityError as error:
                raise Conflict("the receipt is taken") from error
            _add(connection, case.id, history, texts)

    def append(self, case: Case, read_version: int, history: Sequence[CaseEvent], texts: Sequence[SealedText]) -> None:
        """Store a case's next events. Raises `Conflict` where it is no longer at `read_version`."""
        with self._transaction(write=True) as connection:
            changed = connection.execute(
                cases.update().where(cases.c.id == case.id, cases.c.version == read_version).values(**_case_row(case))
            )
            if changed.rowcount != 1:
                raise Conflict("the case was changed meanwhile; read it again")
            _add(connection, case.id, history, texts)

    def load(self, *, receipt: str | None = None, case_id: str | None = None) -> StoredCase | None:
        """The case with this receipt or this id."""
        key = cases.c.receipt == receipt if case_id is None else cases.c.id == case_id
        with self._transaction() as connection:
            row = connection.execute(sa.select(cases).where(key)).one_or_none()
            if row is None:
                return None
            events = connection.execute(
                sa.select(case_events).where(case_events.c.case_id == row.id).order_by(case_events.c.seq)
            ).all()
        return StoredCase(_case(row), tuple(_event(event) for event in events))

    def secret_hash(self, receipt: str) -> bytes | None:
        """What is kept of the secret of the case with this receipt."""
        with self._transaction() as connection:
            return connection.execute(sa.select(cases.c.secret_hash).where(cases.c.receipt == receipt)).scalar()

    def texts(self, case_id: str) -> tuple[SealedText, ...]:
        """The case's sealed words, in order."""
        query = sa.select(case_texts).where(case_texts.c.case_id == case_id).order_by(case_texts.c.seq)
        with self._transaction() as connection:
            return tuple(SealedText(row.seq, row.field, row.sealed) for row in connection.execute(query))

    def page(self, which: CaseFilter, after: tuple[int, str] | None, limit: int) -> tuple[Case, ...]:
        """Up to `limit` cases, oldest first, that come after the place `after` (see `place_of`)."""
        query = sa.select(cases).order_by(cases.c.received_ms, cases.c.id).limit(limit)
        if which.state is not None:
            query = query.where(cases.c.state == which.state.key)
        if which.category is not None:
            query = query.where(cases.c.category == which.category.key)
        if which.tenant is not None:
            query = query.where(cases.c.tenant == which.tenant)
        if which.is_overdue is not None:
            is_late = sa.func.coalesce(cases.c.next_due_ms < _ms(which.overdue_at), False)
            query = query.where(is_late if which.is_overdue else sa.not_(is_late))
        if after is not None:
            query = query.where(sa.tuple_(cases.c.received_ms, cases.c.id) > after)
        with self._transaction() as connection:
            return tuple(_case(row) for row in connection.execute(query))

    def lapsed(self, now: datetime, limit: int) -> tuple[str, ...]:
        """Receipts of up to `limit` answered cases that can no longer be appealed at `now`."""
        is_over = sa.func.coalesce(cases.c.appeal_until_ms < _ms(now), True)
        query = sa.select(cases.c.receipt).where(cases.c.state == State.ANSWERED.key, is_over).limit(limit)
        with self._transaction() as connection:
            return tuple(connection.execute(query).scalars())

    def set_deadlines(self, case: Case) -> bool:
        """Rewrite the derived columns alone; false where the case has moved on, which set them anew anyway."""
        row = _case_row(case)
        derived = {name: row[name] for name in ("due_ms", "is_due_certain", "next_due_ms", "appeal_until_ms")}
        with self._transaction(write=True) as connection:
            changed = connection.execute(
                cases.update().where(cases.c.id == case.id, cases.c.version == case.version).values(**derived)
            )
            return changed.rowcount == 1

    def unrecorded(self, before: datetime | None, limit: int) -> tuple[tuple[Case, CaseEvent], ...]:
        """Up to `limit` events, up to `before` where given, not in the audit log yet, in the order they were stored."""
        query = (
            sa.select(cases, *(column.label(f"event_{column.name}") for column in case_events.c))
            .select_from(case_facts.join(case_events).join(cases))
            .where(case_facts.c.audit_record.is_(None))
            .order_by(case_facts.c.id)
            .limit(limit)
        )
        if before is not None:
            query = query.where(case_events.c.at_ms <= _ms(before))
        with self._transaction() as connection:
            rows = connection.execute(query).all()
        return tuple((_case(row), _event(row, "event_")) for row in rows)

    def mark_recorded(self, case_id: str, seq: int, audit_record: str) -> None:
        """Note where in the audit log an event arrived; the first note stays. Raises `NotFound` for no such event."""
        this = sa.and_(case_facts.c.case_id == case_id, case_facts.c.seq == seq)
        with self._transaction(write=True) as connection:
            is_marked = connection.execute(
                case_facts.update().where(this, case_facts.c.audit_record.is_(None)).values(audit_record=audit_record)
            ).rowcount
            if not is_marked and connection.execute(sa.select(case_facts.c.id).where(this)).first() is None:
                raise NotFound

    def counts(self, now: datetime) -> Counts:
        """Figures for gauges at `now`."""
        with self._transaction() as connection:
            per_state = connection.execute(sa.select(cases.c.state, sa.func.count()).group_by(cases.c.state)).all()
            overdue = connection.execute(
                sa.select(sa.func.count()).select_from(cases).where(cases.c.next_due_ms < _ms(now))
            ).scalar_one()
            unrecorded = connection.execute(
                sa.select(sa.func.count()).select_from(case_facts).where(case_facts.c.audit_record.is_(None))
            ).scalar_one()
        found = {state: count for state, count in per_state}
        return Counts({state: found.get(state.key, 0) for state in State}, overdue, unrecorded)

    @contextmanager
    def _transaction(self, *, write: bool = False) -> Iterator[sa.Connection]:
        try:
            with self._engine.connect().execution_options(**{_WRITE: write}) as connection, connection.begin():
                yield connection
        except (SQLAlchemyError, sqlite3.Error) as error:  # the driver's own: raised while a connection is set up
            raise Unavailable("the case store cannot be read or written now; nothing was changed") from error


def place_of(case: Case) -> tuple[int, str]:
    """Where a case stands in `CaseStore.page`'s order."""
    return _ms(case.received_at), case.id


def _engine(path: Path) -> sa.Engine:
    url = sa.URL.create("sqlite", database=str(path))
    # Parameters hold sealed words and secret hashes: they must never enter an error message.
    engine = sa.create_engine(url, hide_parameters=True)

    @sa.event.listens_for(engine, "connect")
    def configure(connection: Any, _: object) -> None:
        connection.isolation_level = None  # BEGIN is ours (below); the driver would defer it
        for pragma in (
            f"busy_timeout={_BUSY_TIMEOUT_MS}",
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            "secure_delete=ON",  # what is erased later leaves no readable remains in the file
        ):
            connection.execute(f"PRAGMA {pragma}")

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        # A write takes its lock at once: upgrading a read transaction later would fail under contention.
        is_write = connection.get_execution_options().get(_WRITE, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if is_write else "BEGIN")

    return engine


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Lock the folder: SQLite does not wait its turn where several connections switch a new file to WAL at once."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _create_private(file: Path) -> None:
    # Only ever a new file: closing a descriptor of one that this process has open would drop SQLite's locks on it.
    with suppress(FileExistsError):
        os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def _migrate(connection: sa.Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise Unavailable("the case store was made by a newer release; start that release or a later one") from error


def _add(connection: sa.Connection, case_id: str, history: Sequence[CaseEvent], texts: Sequence[SealedText]) -> None:
    connection.execute(case_events.insert(), [_event_row(case_id, event) for event in history])
    connection.execute(case_facts.insert(), [{"case_id": case_id, "seq": event.seq} for event in history])
    if texts:
        connection.execute(
            case_texts.insert(),
            [{"case_id": case_id, "seq": text.seq, "field": text.field, "sealed": text.sealed} for text in texts],
        )


def _ms(moment: datetime) -> int:
    return (moment - EPOCH) // _MILLISECOND


def _optional_ms(moment: datetime | None) -> int | None:
    return None if moment is None else _ms(moment)


def _moment(ms: int) -> datetime:
    return EPOCH + ms * _MILLISECOND


def _optional_moment(ms: int | None) -> datetime | None:
    return None if ms is None else _moment(ms)


def _case_row(case: Case) -> dict[str, object]:
    return {
        "id": case.id,
        "receipt": case.receipt,
        "category": case.category.key,
        "language": case.language,
        "tenant": case.tenant,
        "record": case.record,
        "received_ms": _ms(case.received_at),
        "state": case.state.key,
        "version": case.version,
        "updated_ms": _ms(case.updated_at),
        "started_ms": _ms(case.started_at),
        "holder": case.holder,
        "decision": None if case.decision is None else case.decision.key,
        "answered_ms": _optional_ms(case.answered_at),
        "appeals": case.appeals,
        "due_ms": _ms(case.due),
        "is_due_certain": case.is_due_certain,
        "next_due_ms": _optional_ms(case.next_due),
        "appeal_until_ms": _optional_ms(case.appeal_until),
    }


def _case(row: sa.Row[Any]) -> Case:
    return Case(
        id=row.id,
        receipt=row.receipt,
        category=Category.of(row.category),
        language=row.language,
        tenant=row.tenant,
        record=row.record,
        received_at=_moment(row.received_ms),
        state=State.of(row.state),
        version=row.version,
        updated_at=_moment(row.updated_ms),
        started_at=_moment(row.started_ms),
        due=_moment(row.due_ms),
        is_due_certain=row.is_due_certain,
        next_due=_optional_moment(row.next_due_ms),
        holder=row.holder,
        decision=None if row.decision is None else Decision.of(row.decision),
        answered_at=_optional_moment(row.answered_ms),
        appeals=row.appeals,
        appeal_until=_optional_moment(row.appeal_until_ms),
    )


def _event_row(case_id: str, event: CaseEvent) -> dict[str, object]:
    return {
        "case_id": case_id,
        "seq": event.seq,
        "act": event.act.key,
        "origin": None if event.origin is None else event.origin.key,
        "state": event.state.key,
        "at_ms": _ms(event.at),
        "role": event.role.key,
        "actor": event.actor,
        "decision": None if event.decision is None else event.decision.key,
        "sealed_sha256": event.sealed_sha256,
    }


def _event(row: sa.Row[Any], prefix: str = "") -> CaseEvent:
    values = row._mapping
    origin, decision = values[f"{prefix}origin"], values[f"{prefix}decision"]
    return CaseEvent(
        seq=values[f"{prefix}seq"],
        act=Act.of(values[f"{prefix}act"]),
        origin=None if origin is None else State.of(origin),
        state=State.of(values[f"{prefix}state"]),
        at=_moment(values[f"{prefix}at_ms"]),
        role=Role.of(values[f"{prefix}role"]),
        actor=values[f"{prefix}actor"],
        decision=None if decision is None else Decision.of(decision),
        sealed_sha256=values[f"{prefix}sealed_sha256"],
    )
