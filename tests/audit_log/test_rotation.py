# SPDX-License-Identifier: Apache-2.0
"""Another key takes over: who trusts one key of the log reaches the other, and nothing that was proven is lost."""

import shutil
from pathlib import Path

import pytest

from audit_log import AuditLog, Entry, LogRefused, VerificationError, new_record_id, verify_home
from audit_log import rotation as rotation_module
from audit_log.bundle import verify_bundle
from audit_log.commands import export, rotate, rotate_master
from audit_log.cosignature import parse_vkey
from audit_log.keys import create_mldsa44_key, load_mldsa44_key, read_vkeys
from audit_log.note import open_note
from audit_log.place import Place
from audit_log.sqlite import SqliteStore
from audit_log.trust import TrustPolicy

NOW = 1.8e9


def clock() -> float:
    return NOW


def write(home: Path, count: int = 1) -> None:
    log = AuditLog.open(home, writer="gw", clock=clock)
    for _ in range(count):
        log.append_blocking(Entry({"id": new_record_id(), "type": "exchange"}))
    log.close()


def test_either_key_reaches_the_whole_log(small: Path, tmp_path: Path) -> None:
    """Twice rotated: all three keys lead to each other, and a stranger's leads nowhere."""
    changes = [rotate(small, by="ops", clock=clock)]
    write(small)
    changes.append(rotate(small, by="ops", clock=clock))
    write(small)
    keys = [changes[0]["old"], changes[0]["new"], changes[1]["new"]]
    assert changes[1]["old"] == keys[1]
    assert [verifier.vkey for verifier in read_vkeys(small)] == keys
    assert verify_home(small).problems == []
    assert verify_home(small, vkey=keys).problems == []
    assert not verify_home(small, vkey=keys[2]).ok

    export(small, tmp_path / "b.zip", generator="t")
    for key in keys:
        report = verify_bundle(tmp_path / "b.zip", vkeys=[key])
        assert (report.problems, report.key_given) == ([], True)
    other = AuditLog.create(tmp_path / "other", "audit.example.com/test")
    assert not verify_bundle(tmp_path / "b.zip", vkeys=[other]).ok


def test_a_key_that_the_log_does_not_name_is_not_reached(small: Path, tmp_path: Path) -> None:
    """A file of keys alone convinces nobody."""
    write(small)
    old = read_vkeys(small)[0].vkey
    stranger = AuditLog.create(tmp_path / "other", "audit.example.com/test")
    (small / "retired.vkeys").write_text(f"{stranger}\n")
    export(small, tmp_path / "b.zip", generator="t")

    problems = verify_bundle(tmp_path / "b.zip", vkeys=[old]).problems
    assert ["not reached" in problem for problem in problems] == [True]
    assert verify_bundle(tmp_path / "b.zip", vkeys=[stranger]).problems


def test_the_old_key_signs_nothing_more(small: Path, tmp_path: Path) -> None:
    """A process that comes back with it is refused."""
    shutil.copy(small / "log.key", tmp_path / "old.key")
    rotate(small, by="ops", clock=clock)
    write(small)
    new = (small / "log.key").read_bytes()
    (small / "log.key").unlink()
    shutil.copy(tmp_path / "old.key", small / "log.key")
    with pytest.raises(LogRefused, match="not the key"):
        AuditLog.open(small, writer="gw", clock=clock)
    with pytest.raises(LogRefused, match="not the key"):
        rotate(small, by="ops", clock=clock)
    assert not (small / "log.key.next").exists()
    (small / "log.key").unlink()
    (small / "log.key").write_bytes(new)
    (small / "log.key").chmod(0o400)
    write(small)


def test_a_running_gateway_stands_against_it(home: Path) -> None:
    """Two keys at once would fork the log."""
    log = AuditLog.open(home, writer="gw", clock=clock)
    log._publish_once()
    with pytest.raises(LogRefused, match="stop the gateway"):
        rotate(home, by="ops", clock=clock)
    log.close()


@pytest.mark.parametrize(
    "step", ["_hand_over", "replace_vkey", "_move_files", "_replace 1", "_replace 2", "fsync_folder"]
)
def test_a_crash_anywhere_is_finished_by_calling_again(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """With the same new key, and everything verifies."""

    class CrashError(Exception):
        pass

    name, _, count = step.partition(" ")
    left = int(count or 1)
    target = SqliteStore if name == "replace_vkey" else rotation_module
    real = getattr(target, name)

    def crash(*values: object) -> object:
        nonlocal left
        left -= 1
        if left == 0:
            raise CrashError
        return real(*values)

    monkeypatch.setattr(target, name, crash)
    old = read_vkeys(small)[-1].vkey
    with pytest.raises(CrashError):
        rotate(small, by="ops", clock=clock)
    monkeypatch.undo()
    rotate(small, by="ops", clock=clock)
    write(small)

    assert verify_home(small).problems == []
    assert read_vkeys(small)[0].vkey == old
    export(small, tmp_path / "b.zip", generator="t")
    assert verify_bundle(tmp_path / "b.zip", vkeys=[old]).problems == []


def test_a_second_signature_that_quantum_computers_do_not_break(home: Path, tmp_path: Path) -> None:
    """On every checkpoint from then on; who does not know it sees a good checkpoint, and a policy can ask for it."""
    assert load_mldsa44_key(home) is None
    vkey = create_mldsa44_key(home, "audit.example.com/test")
    write(home, 3)
    note = (home / "tiles" / "checkpoint").read_bytes()
    quantum = parse_vkey(vkey)
    assert open_note(note, [quantum]).verified_by == (quantum,)
    assert verify_home(home).ok
    with pytest.raises(LogRefused):
        create_mldsa44_key(home, "audit.example.com/test")

    policy = TrustPolicy(read_vkeys(home), {"pq": quantum}, {}, "pq")  # type: ignore[dict-item]
    (tmp_path / "policy").write_bytes(policy.encode())
    export(home, tmp_path / "b.zip", generator="t", policy=tmp_path / "policy")
    report = verify_bundle(tmp_path / "b.zip")
    assert (report.problems, report.witnesses) == ([], ["pq"])
    (home / "log.mldsa44").chmod(0o600)
    (home / "log.mldsa44").write_bytes(b"short")
    (home / "log.mldsa44").chmod(0o400)
    with pytest.raises(LogRefused):
        load_mldsa44_key(home)


def sealed(home: Path, text: bytes) -> str:
    id_ = new_record_id()
    log = AuditLog.open(home, writer="gw", clock=clock)
    log.append_blocking(Entry({"id": id_, "type": "exchange", "tenant": "t"}, f"p-{id_}", text))
    log.close()
    return id_


def opened(home: Path, id_: str) -> bytes | None:
    with Place(home).reader() as reader:
        return reader.body(id_)


@pytest.mark.parametrize("step", ["", "_wrap_anew 1", "replace_wrapped 1", "replace_wrapped 2", "fsync_folder 1"])
def test_another_master_key_opens_every_body_and_the_old_one_none(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Also after a crash anywhere: no gateway starts in between, and calling again ends it with the same new key."""

    class CrashError(Exception):
        pass

    monkeypatch.setattr(rotation_module, "_KEYS_AT_ONCE", 2)
    ids = [sealed(home, b"words %d" % number) for number in range(5)]
    old = (home / "body.key").read_bytes()
    if step:
        name, _, count = step.partition(" ")
        left = int(count)
        target = SqliteStore if name == "replace_wrapped" else rotation_module
        real = getattr(target, name)

        def crash(*values: object) -> object:
            nonlocal left
            left -= 1
            if left == 0:
                raise CrashError
            return real(*values)

        with monkeypatch.context() as patch:
            patch.setattr(target, name, crash)
            with pytest.raises(CrashError):
                rotate_master(home, by="ops", clock=clock)
    if (home / "body.key.next").exists():
        with pytest.raises(LogRefused, match="cut short"):
            Place(home).open_log(writer="gw", clock=clock)
    rotate_master(home, by="ops", clock=clock)

    assert (home / "body.key").read_bytes() != old
    assert not (home / "body.key.next").exists()
    assert [opened(home, id_) for id_ in ids] == [b"words %d" % number for number in range(5)]
    (tmp_path / "old.key").write_bytes(old)
    with Place(home, read_master_key=lambda: old).reader() as reader, pytest.raises(VerificationError):
        reader.body(ids[0])
    sealed(home, b"more")
    assert verify_home(home).problems == []


def test_a_master_key_is_not_changed_where_that_could_lose_one(home: Path) -> None:
    """While the gateway runs, while records wait in the spool, with a wrong key, or with one of another length."""
    sealed(home, b"words")
    log = AuditLog.open(home, writer="gw", clock=clock, publish=False)
    log._publish_from(home / "publisher.lock")
    log._publish_once()
    with pytest.raises(LogRefused, match="stop the gateway"):
        rotate_master(home, by="ops", clock=clock)
    log.close()
    (home / "body.key.next").unlink()
    with pytest.raises(LogRefused, match="no file"):
        rotate_master(Place(home, read_master_key=lambda: bytes(32)), by="ops", clock=clock)
    with pytest.raises(LogRefused, match="neither"):
        rotate_master(
            Place(home, read_master_key=lambda: bytes(32)), by="ops", read_new=lambda: bytes(31) + b"1", clock=clock
        )
    with pytest.raises(LogRefused, match="3 bytes"):
        rotate_master(home, by="ops", read_new=lambda: b"abc", clock=clock)
    (home / "spool" / "x").mkdir(parents=True)
    (home / "spool" / "x" / "000000000000.batch").touch()
    with pytest.raises(LogRefused, match="spool"):
        rotate_master(home, by="ops", clock=clock)


def test_a_key_service_may_take_the_master_key_over(home: Path) -> None:
    """From the file to elsewhere; afterwards the file opens nothing."""
    id_ = sealed(home, b"words")
    new = bytes(range(32))
    assert rotate_master(home, by="ops", read_new=lambda: new, clock=clock) == {"keys": 1}
    with Place(home, read_master_key=lambda: new).reader() as reader:
        assert reader.body(id_) == b"words"
    with pytest.raises(VerificationError):
        opened(home, id_)
