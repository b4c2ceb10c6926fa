# SPDX-License-Identifier: Apache-2.0
"""The complaint desk: takes complaints, shows where they stand, and moves them by the rules of `workflow`.

Order of durability, and what holds if we stop anywhere:

1. A move is one transaction of the store: case, event, sealed words and the fact that the audit log is owed. When a
   method of the desk returns, it is on disk. If we stop before, nothing happened and nobody was told otherwise.
2. The caller appends each of the move's `facts`, in order, to its audit log, then calls `mark_recorded`.
3. The caller answers: 201 for a filing.

If step 2 fails, the caller answers all the same: the complaint is safe and its fact waits in the store, while a
refusal would take from the complainant the receipt, the only handle on a case that exists. `unrecorded()` yields what
waits, in order; the caller appends it at start and from time to time. If we stop between append and mark, the log gets
the same fact twice, which `case` and `seq` reveal. So no complaint and no fact is ever lost.

Filing, from asyncio (every method blocks on the disk):

    filed = await asyncio.to_thread(desk.file, body.get("category"), body.get("text"), contact=body.get("contact"),
                                    record=body.get("record"), tenant=body.get("tenant"), language="zh")
    await tell(filed.facts)         # the loop below
    # 201 {"receipt": filed.receipt, "secret": filed.secret, "due": filed.due.isoformat(), "url": ...}

    async def tell(facts):
        for fact in facts:
            try:
                audit_record = await log.append(fact)
            except AuditError:
                break               # it waits in desk.unrecorded(); count it and alert
            await asyncio.to_thread(desk.mark_recorded, fact, audit_record)

An officer's answer is `move = desk.answer(receipt, officer, "upheld", text)`, then `tell(move.facts)`.
"""

import base64
import binascii
import hashlib
import os
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from complaints.case import Case, CaseEvent, advance, involved, parse_category
from complaints.errors import Conflict, Invalid, NotFound
from complaints.facts import fact_of
from complaints.intake import clean_contact, clean_officer, clean_record, clean_tenant, clean_text
from complaints.labelled import parse_language
from complaints.policy import DeskPolicy
from complaints.process import Process, describe
from complaints.receipt import new_receipt, new_secret, read_receipt, read_secret
from complaints.sealing import Vault
from complaints.store import EPOCH, CaseFilter, CaseStore, Counts, SealedText, StoredCase, place_of
from complaints.view import Answer, CaseFile, Entry, Page, PublicStep, PublicView
from complaints.workflow import Act, Attempt, Decision, Role, Situation, State, next_state, permitted

PAGE_CASES_MAX = 200
_RECEIPT_DRAWS_MAX = 4
_TEXT = "text"
_CONTACT = "contact"
_CURSOR = re.compile(r"(\d{1,15})\.([0-9a-f-]{36})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Move:
    """What a move led to, and the facts to append to the audit log, in order."""

    case: Case
    facts: tuple[dict[str, object], ...]


@dataclass(frozen=True, slots=True)
class Filed:
    """A complaint filed. `secret` exists here only: it is kept as a hash and cannot be shown again."""

    receipt: str
    secret: str = field(repr=False)
    due: datetime
    state: State
    case: Case
    facts: tuple[dict[str, object], ...]


@dataclass(frozen=True, slots=True)
class _Step:
    act: Act
    role: Role
    person: str | None = None
    text: str | None = field(default=None, repr=False)
    contact: str | None = field(default=None, repr=False)
    decision: Decision | None = None


class ComplaintDesk:
    """The desk. It keeps nothing in memory: several desks, threads and processes may share one store.

    `clock` gives seconds since 1970. `key` is 32 secret bytes; another key than the store's is refused (`WrongKey`).
    `random_bytes(n)` must be fit for cryptography. The constructor reads the store, so it blocks as well.
    """

    def __init__(
        self,
        store: CaseStore,
        clock: Callable[[], float],
        policy: DeskPolicy,
        key: bytes,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._store = store
        self._clock = clock
        self._policy = policy
        self._random_bytes = random_bytes
        self._vault = Vault(key, random_bytes)
        store.bind_key(self._vault.fingerprint)

    # What the public does.

    def file(
        self,
        category: object,
        text: object,
        contact: object = None,
        record: object = None,
        tenant: object = None,
        language: object = "zh",
    ) -> Filed:
        """File a complaint; arguments come as they were sent. Raises `Invalid` naming the field, or `Unavailable`."""
        kind = parse_category(category)
        filing = _Step(
            Act.FILE,
            Role.PUBLIC,
            text=clean_text(text, _TEXT, self._policy.text_chars_max),
            contact=clean_contact(contact, self._policy.contact_chars_max),
        )
        steps = [filing]
        if self._policy.acknowledge_h == 0:
            steps.append(_Step(Act.ACKNOWLEDGE, Role.SYSTEM))
        now = self.now()
        blank = Case(
            id=str(uuid.UUID(bytes=self._random_bytes(16), version=4)),
            receipt="",
            category=kind,
            language=parse_language(language),
            tenant=clean_tenant(tenant),
            record=clean_record(record),
            received_at=now,
            state=State.RECEIVED,
            version=0,
            updated_at=now,
            started_at=now,
            due=now,
            is_due_certain=False,
            next_due=None,
        )
        for _ in range(_RECEIPT_DRAWS_MAX):
            receipt, secret = new_receipt(self._random_bytes), new_secret(self._random_bytes)
            case, events, texts = self._follow(replace(blank, receipt=receipt), (), steps)
            try:
                self._store.create(case, self._vault.secret_hash(receipt, secret), events, texts)
            except Conflict:
                continue  # 55 bits: a taken receipt is a rarity, not an error
            return Filed(receipt, secret, case.due, case.state, case, _facts(case, events))
        raise Conflict("no free receipt was drawn; the source of randomness is broken")

    def status(self, receipt: object, secret: object) -> PublicView:
        """What the complainant may see. Raises `NotFound` for a wrong receipt or secret, without telling which."""
        stored = self._admit(receipt, secret)
        case, now = stored.case, self.now()
        words = self._words(case)
        open_acts = permitted(self._situation(case, stored.history), Role.PUBLIC, None, now)
        tz = self._policy.tz
        return PublicView(
            receipt=case.receipt,
            category=case.category,
            state=case.state,
            received_at=case.received_at.astimezone(tz),
            due=case.due,
            is_due_certain=case.is_due_certain,
            history=tuple(PublicStep(event.act, event.state, event.at.astimezone(tz)) for event in stored.history),
            answers=tuple(
                Answer(event.decision, words.get((event.seq, _TEXT), ""), event.at.astimezone(tz))
                for event in stored.history
                if event.act is Act.ANSWER and event.decision is not None
            ),
            may_appeal=Act.APPEAL in open_acts,
            appeal_until=case.appeal_until,
            may_withdraw=Act.WITHDRAW in open_acts,
        )

    def appeal(self, receipt: object, secret: object, text: object) -> Move:
        """Ask for a review by another person, with grounds. Raises `NotFound`, `Invalid`, `Conflict`."""
        stored = self._admit(receipt, secret)
        return self._move(stored, [_Step(Act.APPEAL, Role.PUBLIC, text=self._clean(text))])

    def withdraw(self, receipt: object, secret: object) -> Move:
        """Take the complaint back before it is answered. Raises `NotFound`, `Conflict`."""
        return self._move(self._admit(receipt, secret), [_Step(Act.WITHDRAW, Role.PUBLIC)])

    def process(self, language: str) -> Process:
        """The data of the published process page, in zh or en."""
        return describe(self._policy, language)

    # What officers do. `receipt` is the case's receipt or id; `version`, where given, is the version the officer saw:
    # a case that has moved on since is a `Conflict`.

    def list(
        self,
        state: object = None,
        overdue: bool | None = None,
        category: object = None,
        tenant: object = None,
        cursor: object = None,
        limit: int = 50,
    ) -> Page:
        """Part of the queue, oldest first, restricted by what is given. Raises `Invalid`."""
        if not 1 <= limit <= PAGE_CASES_MAX:
            raise Invalid("limit", f"expected 1 to {PAGE_CASES_MAX}")
        which = CaseFilter(
            state=None if state is None else State.parse(state, "state"),
            category=None if category is None else parse_category(category),
            tenant=clean_tenant(tenant),
            is_overdue=overdue,
            overdue_at=self.now(),
        )
        found = self._store.page(which, None if cursor is None else _place(cursor), limit + 1)
        shown = tuple(self._policy.timed(case) for case in found[:limit])
        return Page(shown, _cursor(shown[-1]) if len(found) > limit else None)

    def get(self, receipt: object, officer: object = None) -> CaseFile:
        """Everything about a case, and what this officer may do with it now. Raises `NotFound`."""
        stored = self._find(receipt)
        words = self._words(stored.case)
        open_acts: tuple[Act, ...] = ()
        if officer is not None:
            situation = self._situation(stored.case, stored.history)
            open_acts = permitted(situation, Role.OFFICER, clean_officer(officer), self.now())
        return CaseFile(
            case=stored.case,
            contact=words.get((1, _CONTACT)),
            entries=tuple(Entry(event, words.get((event.seq, _TEXT))) for event in stored.history),
            permitted=open_acts,
        )

    def acknowledge(self, receipt: object, officer: object, version: int | None = None) -> Move:
        """Confirm to the complainant that the case is being dealt with."""
        return self._officer_move(receipt, version, [_Step(Act.ACKNOWLEDGE, Role.OFFICER, clean_officer(officer))])

    def take(self, receipt: object, officer: object, version: int | None = None) -> Move:
        """Begin the review; from now on this officer holds the case. After an appeal it has to be another person."""
        return self._officer_move(receipt, version, [_Step(Act.TAKE, Role.OFFICER, clean_officer(officer))])

    def release(self, receipt: object, officer: object, reason: object, version: int | None = None) -> Move:
        """Put a case that someone holds back into the queue, with a reason for the file."""
        step = _Step(Act.RELEASE, Role.OFFICER, clean_officer(officer), self._clean(reason, "reason"))
        return self._officer_move(receipt, version, [step])

    def answer(
        self, receipt: object, officer: object, decision: object, text: object, version: int | None = None
    ) -> Move:
        """Decide and tell the complainant why. A case that nobody holds is acknowledged and taken on the way."""
        person = clean_officer(officer)
        decided = Decision.parse(decision, "decision")
        stored = self._find(receipt)
        acts = {
            State.RECEIVED: (Act.ACKNOWLEDGE, Act.TAKE),
            State.ACKNOWLEDGED: (Act.TAKE,),
            State.APPEALED: (Act.TAKE,),
        }.get(stored.case.state, ())
        steps = [_Step(act, Role.OFFICER, person) for act in acts]
        answering = _Step(Act.ANSWER, Role.OFFICER, person, self._clean(text), decision=decided)
        return self._move(stored, [*steps, answering], version)

    def close(self, receipt: object, officer: object, version: int | None = None) -> Move:
        """File away an answered case that can no longer be appealed."""
        return self._officer_move(receipt, version, [_Step(Act.CLOSE, Role.OFFICER, clean_officer(officer))])

    def reopen(self, receipt: object, officer: object, reason: object, version: int | None = None) -> Move:
        """Take up a closed or withdrawn case again, under its own number, with a reason for the file."""
        step = _Step(Act.REOPEN, Role.OFFICER, clean_officer(officer), self._clean(reason, "reason"))
        return self._officer_move(receipt, version, [step])

    # What the system does, from a timer and at start.

    def close_lapsed(self, limit: int = 100) -> tuple[Move, ...]:
        """Close up to `limit` answered cases whose time for an appeal is over. Tell the facts of each move."""
        moves = []
        for receipt in self._store.lapsed(self.now(), limit):
            try:
                moves.append(self._move(self._find(receipt), [_Step(Act.CLOSE, Role.SYSTEM)]))
            except Conflict:
                continue  # someone else moved it, or a newer calendar leaves more time: the next round sees it
        return tuple(moves)

    def refresh_deadlines(self) -> int:
        """Compute the stored deadlines of all unfinished cases anew and return how many changed.

        To be called at start: policy or holiday calendar may be newer than the store's figures.
        """
        changed = 0
        for state in (State.RECEIVED, State.ACKNOWLEDGED, State.IN_REVIEW, State.APPEALED, State.ANSWERED):
            place = None
            while stale := self._store.page(CaseFilter(state=state), place, PAGE_CASES_MAX):
                place = place_of(stale[-1])
                for case in stale:
                    fresh = self._policy.timed(case)
                    changed += fresh != case and self._store.set_deadlines(fresh)
        return changed

    def unrecorded(self, limit: int = 100, older_than_s: float = 0) -> tuple[dict[str, object], ...]:
        """Facts not yet marked as recorded, in the order they happened; `older_than_s` spares what is under way."""
        # Without an age nothing is held back, not even what a clock since corrected stamped in the future.
        before = self.now() - timedelta(seconds=older_than_s) if older_than_s else None
        pending = self._store.unrecorded(before, limit)
        return tuple(fact_of(case, event) for case, event in pending)

    def mark_recorded(self, fact: Mapping[str, object], audit_record: str) -> None:
        """Note that the audit log holds this fact, under the record id given. Doing it twice does no harm."""
        case_id, seq = fact.get("case"), fact.get("seq")
        if not isinstance(case_id, str) or not isinstance(seq, int):
            raise Invalid("fact", "expected a fact that this desk gave out")
        if not 1 <= len(audit_record) <= 100:
            raise Invalid("audit_record", "expected a record id of 1 to 100 characters")
        self._store.mark_recorded(case_id, seq, audit_record)

    def counts(self) -> Counts:
        """Figures for gauges."""
        return self._store.counts(self.now())

    def now(self) -> datetime:
        """The clock's time in UTC, cut to the millisecond."""
        return EPOCH + timedelta(milliseconds=int(self._clock() * 1000))

    # How it is done.

    def _clean(self, text: object, name: str = _TEXT) -> str:
        return clean_text(text, name, self._policy.text_chars_max)

    def _admit(self, receipt: object, secret: object) -> StoredCase:
        written, spoken = read_receipt(receipt), read_secret(secret)
        # The same query and the same comparison for a receipt that does not exist: time must not tell the two apart.
        kept_hash = self._store.secret_hash(written) or bytes(32)
        if not self._vault.is_secret(kept_hash, written, spoken):
            raise NotFound
        return self._find(written)

    def _find(self, reference: object) -> StoredCase:
        try:
            case_id = clean_record(reference)
        except Invalid:
            case_id = None
        stored = self._store.load(case_id=case_id) if case_id else self._store.load(receipt=read_receipt(reference))
        if stored is None:
            raise NotFound
        return self._timed(stored)

    def _timed(self, stored: StoredCase) -> StoredCase:
        return replace(stored, case=self._policy.timed(stored.case))

    def _words(self, case: Case) -> dict[tuple[int, str], str]:
        return {
            (text.seq, text.field): self._vault.open(text.sealed, case.receipt, text.seq, text.field)
            for text in self._store.texts(case.id)
        }

    def _situation(self, case: Case, history: Sequence[CaseEvent]) -> Situation:
        return Situation(
            state=case.state if case.version else None,
            holder=case.holder,
            involved=involved(history),
            appeal_until=case.appeal_until,
            appeals_left=self._policy.appeals_max - case.appeals,
        )

    def _officer_move(self, reference: object, version: int | None, steps: Sequence[_Step]) -> Move:
        return self._move(self._find(reference), steps, version)

    def _move(self, stored: StoredCase, steps: Sequence[_Step], version: int | None = None) -> Move:
        if version is not None and version != stored.case.version:
            raise Conflict("the case has changed since you read it; read it again")
        case, events, texts = self._follow(stored.case, stored.history, steps)
        self._store.append(case, stored.case.version, events, texts)
        return Move(case, _facts(case, events))

    def _follow(
        self, case: Case, history: Sequence[CaseEvent], steps: Sequence[_Step]
    ) -> tuple[Case, tuple[CaseEvent, ...], tuple[SealedText, ...]]:
        """Do the steps in memory: the case after them, the new events, the new sealed words."""
        at = max(self.now(), case.updated_at)  # a clock set back must not turn history around
        events: list[CaseEvent] = []
        texts: list[SealedText] = []
        for step in steps:
            situation = self._situation(case, (*history, *events))
            attempt = Attempt(step.act, step.role, at, step.person, step.text is not None, step.decision)
            state = next_state(situation, attempt)
            seq = case.version + 1
            sealed = None
            if step.text is not None:
                sealed = self._vault.seal(step.text, case.receipt, seq, _TEXT)
                texts.append(SealedText(seq, _TEXT, sealed))
            if step.contact is not None:
                texts.append(SealedText(seq, _CONTACT, self._vault.seal(step.contact, case.receipt, seq, _CONTACT)))
            event = CaseEvent(
                seq=seq,
                act=step.act,
                origin=situation.state,
                state=state,
                at=at,
                role=step.role,
                actor=step.person,
                decision=step.decision,
                sealed_sha256=None if sealed is None else hashlib.sha256(sealed).hexdigest(),
            )
            case = self._policy.timed(advance(case, event))
            events.append(event)
        return case, tuple(events), tuple(texts)


def _facts(case: Case, events: Sequence[CaseEvent]) -> tuple[dict[str, object], ...]:
    return tuple(fact_of(case, event) for event in events)


def _cursor(case: Case) -> str:
    received_ms, case_id = place_of(case)
    return base64.urlsafe_b64encode(f"{received_ms}.{case_id}".encode()).decode().rstrip("=")


def _place(cursor: object) -> tuple[int, str]:
    if isinstance(cursor, str) and cursor.isascii() and len(cursor) <= 100:
        try:
            decoded = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        except (binascii.Error, UnicodeDecodeError):
            decoded = ""
        if match := _CURSOR.fullmatch(decoded):
            return int(match[1]), match[2]
    raise Invalid("cursor", "expected the next_cursor of an earlier page")
