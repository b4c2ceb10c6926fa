# SPDX-License-Identifier: Apache-2.0
"""The store: durable, private, taking turns."""

import os
import signal
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Barrier

import pytest

from complaints import CaseEvent, CaseStore, ComplaintDesk, Conflict, NotFound, State, Unavailable, WrongKey
from complaints.store import CaseFilter
from complaints.workflow import Act, Role

ROOT = Path(__file__).parents[2]

FILE_AND_DIE = """
import os, signal, sys
from datetime import timezone
from complaints import CaseStore, ChinaCalendar, ComplaintDesk, DeskPolicy
policy = DeskPolicy(15, 24, 0, 10, 1, timezone.utc, ChinaCalendar())
desk = ComplaintDesk(CaseStore.open(sys.argv[1]), lambda: 1789704000.0, policy, bytes(range(32)))
filed = desk.file("privacy", "words")
print(filed.receipt, filed.secret, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_filed_complaint_survives_kill_9(path: Path, desk: ComplaintDesk) -> None:
    """What was promised with a receipt is there after the process dies at once, with its fact for the audit log."""
    done = subprocess.run(
        [sys.executable, "-c", FILE_AND_DIE, str(path)], cwd=ROOT, capture_output=True, text=True, timeout=30
    )
    receipt, secret = done.stdout.split()

    assert done.returncode == -signal.SIGKILL
    assert desk.status(receipt, secret).state is State.ACKNOWLEDGED
    assert desk.get(receipt).text == "words"
    assert [fact["event"] for fact in desk.unrecorded()] == ["file", "acknowledge"]


def test_every_connection_waits_for_the_disk(store: CaseStore) -> None:
    """WAL with synchronous=FULL, foreign keys on, erased bytes overwritten."""
    with store._engine.connect() as connection:
        found = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "secure_delete")
        ]

    assert found == ["wal", 2, 1, 1]


def test_the_file_is_for_its_owner_alone(store: CaseStore, path: Path) -> None:
    """Whatever the umask says."""
    for file in path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_nothing_personal_lies_in_the_file(path: Path, store: CaseStore, desk: ComplaintDesk) -> None:
    """Complaint, contact, answer, grounds and secret cannot be found in its bytes."""
    words = [f"PERSONAL-{n}" for n in range(5)]
    filed = desk.file("privacy", words[0], contact=words[1])
    desk.answer(filed.receipt, "li", "rejected", words[2])
    desk.appeal(filed.receipt, filed.secret, words[3])
    desk.take(filed.receipt, "wang")
    desk.release(filed.receipt, "wang", words[4])
    content = b"".join(file.read_bytes() for file in path.parent.iterdir())

    assert filed.receipt.encode() in content
    assert not [word for word in [*words, filed.secret, filed.secret.replace("-", "")] if word.encode() in content]


def test_a_path_with_odd_characters_works(tmp_path: Path) -> None:
    """Percent signs, spaces, question marks and Chinese are only letters."""
    odd = tmp_path / "100% 投诉?x=1#.sqlite"
    CaseStore.open(odd).close()

    assert odd.stat().st_size > 0


def test_what_cannot_be_opened_is_unavailable(tmp_path: Path) -> None:
    """A missing folder, a folder, another file: one error that says what to look at, and the file is untouched."""
    other = tmp_path / "other"
    other.write_bytes(b"no database " * 100)

    for bad in (tmp_path / "missing" / "x.sqlite", tmp_path, other):
        with pytest.raises(Unavailable):
            CaseStore.open(bad)
    assert other.read_bytes() == b"no database " * 100


def test_two_that_move_the_same_version_do_not_both_win(store: CaseStore, desk: ComplaintDesk) -> None:
    """The second is told to read again, and nothing of it is stored."""
    case = desk.file("other", "words").case
    event = CaseEvent(case.version + 1, Act.TAKE, case.state, State.IN_REVIEW, case.updated_at, Role.OFFICER, "li")
    moved = replace(case, state=State.IN_REVIEW, version=case.version + 1, holder="li")
    store.append(moved, case.version, (event,), ())

    with pytest.raises(Conflict):
        store.append(replace(moved, holder="wang"), case.version, (replace(event, actor="wang"),), ())
    stored = store.load(case_id=case.id)
    assert stored is not None and stored.case.holder == "li"
    assert [event.actor for event in stored.history] == [None, None, "li"]


def test_threads_take_turns(desk: ComplaintDesk) -> None:
    """Filings from many threads all arrive; of officers who take one case at once exactly one gets it."""
    with ThreadPoolExecutor(6) as pool:
        filed = list(pool.map(lambda n: desk.file("other", f"words {n}"), range(24)))

        def take(officer: str) -> bool:
            try:
                desk.take(filed[0].receipt, officer)
            except Conflict:
                return False
            return True

        taken = list(pool.map(take, [f"officer-{n}" for n in range(6)]))

    assert len({case.id for case in desk.list(limit=100).cases}) == 24
    assert sum(taken) == 1


def test_two_stores_on_one_file_see_each_other(path: Path, store: CaseStore, desk: ComplaintDesk) -> None:
    """Several processes may serve one desk."""
    case = desk.file("other", "words").case
    second = CaseStore.open(path)
    try:
        found = second.load(case_id=case.id)
    finally:
        second.close()

    assert found is not None and found.case == case


def test_workers_that_start_at_once_make_one_store(path: Path) -> None:
    """Migrations and key are written once, however many open a new file together."""
    start = Barrier(4)

    def open_and_bind(_: int) -> None:
        start.wait(10)
        opened = CaseStore.open(path)
        try:
            opened.bind_key(b"a" * 32)
        finally:
            opened.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(open_and_bind, range(4)))


def test_a_store_is_tied_to_its_first_key(store: CaseStore) -> None:
    """A wrong key is noticed at start, not when the first officer opens a case."""
    store.bind_key(b"a" * 32)
    store.bind_key(b"a" * 32)

    with pytest.raises(WrongKey):
        store.bind_key(b"b" * 32)


def test_a_broken_store_says_so_without_words_or_parameters(path: Path, store: CaseStore, desk: ComplaintDesk) -> None:
    """No error text, its causes included, holds what was written."""
    with store._engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE case_texts")

    with pytest.raises(Unavailable) as caught:
        desk.file("other", "SECRET WORDS", contact="SECRET CONTACT")
    told, error = "", caught.value.__cause__
    while error is not None:
        told, error = told + str(error), error.__cause__
    assert told and "SECRET" not in told and "hidden" in told
    assert desk.list().cases == ()  # all or nothing: the case itself was not stored either


def test_a_mark_stays_where_it_was_first_put(store: CaseStore, desk: ComplaintDesk) -> None:
    """Marking twice is harmless; marking what does not exist is an error."""
    case = desk.file("other", "words").case
    store.mark_recorded(case.id, 1, "first")
    store.mark_recorded(case.id, 1, "second")

    with pytest.raises(NotFound):
        store.mark_recorded(case.id, 9, "x")
    with store._engine.connect() as connection:
        marks = connection.exec_driver_sql("SELECT audit_record FROM case_facts ORDER BY id").scalars().all()
    assert marks == ["first", None]


def test_deadlines_of_a_case_that_moved_on_are_not_overwritten(store: CaseStore, desk: ComplaintDesk) -> None:
    """A refresh that lost the race changes nothing."""
    case = desk.file("other", "words").case
    desk.take(case.receipt, "li")

    assert not store.set_deadlines(replace(case, next_due=case.received_at - timedelta(days=9)))
    assert store.page(CaseFilter(is_overdue=True, overdue_at=case.received_at), None, 10) == ()


def test_closing_twice_is_harmless(path: Path) -> None:
    """Shutdown paths may meet."""
    store = CaseStore.open(path)
    store.close()
    store.close()

    assert os.path.exists(path)
