# SPDX-License-Identifier: Apache-2.0
"""Another key takes over: who trusts one key of the log reaches the other, and nothing that was proven is lost."""

import shutil
from pathlib import Path

import pytest

from audit_log import AuditLog, Entry, LogRefused, new_record_id, verify_home
from audit_log import rotation as rotation_module
from audit_log.bundle import verify_bundle
from audit_log.commands import export, rotate
from audit_log.cosignature import parse_vkey
from audit_log.keys import create_mldsa44_key, load_mldsa44_key, read_vkeys
from audit_log.note import open_note
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
    target = rotation_module.SqliteStore if name == "replace_vkey" else rotation_module
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
