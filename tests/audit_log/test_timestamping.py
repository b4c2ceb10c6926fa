# SPDX-License-Identifier: Apache-2.0
"""Stamped checkpoints: checked before they are kept, handed out in bundles, and checked there without a network."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from audit_log import LogUnavailable, VerificationError
from audit_log.bundle import verify_bundle
from audit_log.commands import export, timestamp
from audit_log.timestamping import KeptStamp, ask_authority, keep_stamp, kept_stamps
from tests.audit_log.authority import NOW, make_authority

AUTHORITY = make_authority()
URL = "https://tsa.example"


def test_a_stamp_is_kept_with_what_it_stamps(small: Path) -> None:
    """And is not replaced by a later one of the same size."""
    told = timestamp(
        small, URL, AUTHORITY.post, roots=AUTHORITY.root_pem, clock=lambda: NOW.timestamp() - 2.5, random=bytes
    )
    assert told == {
        "size": 40,
        "at": "2027-01-15T08:00:00.000000Z",
        "by": "CN=Stamps",
        "is_trusted": True,
        "skew_s": 2.5,
    }
    (kept,) = kept_stamps(small)
    timestamp(small, URL, AUTHORITY.post)
    assert [*kept_stamps(small)] == [kept]
    assert kept.note == (small / "tiles" / "checkpoint").read_bytes()


def test_an_authority_that_fails_is_named_and_nothing_is_kept(small: Path) -> None:
    """It cannot be reached, refuses, answers another question, or is not the one that is trusted."""

    def away(url: str, body: bytes) -> tuple[int, bytes]:
        raise OSError("ConnectError")

    with pytest.raises(LogUnavailable, match="reached"):
        timestamp(small, URL, away)
    with pytest.raises(LogUnavailable, match="503"):
        timestamp(small, URL, lambda url, body: (503, b""))
    with pytest.raises(VerificationError, match="root"):
        timestamp(small, URL, make_authority().post, roots=AUTHORITY.root_pem)
    with pytest.raises(VerificationError, match="larger"):
        timestamp(small, URL, lambda url, body: (200, bytes(2 << 20)))
    old, _ = ask_authority(b"note", URL, AUTHORITY.post)
    with pytest.raises(VerificationError, match="another request"):
        ask_authority(b"note", URL, lambda url, body: (200, old))
    assert [*kept_stamps(small)] == []


def test_a_bundle_has_its_stamps_and_its_verifier_checks_them(small: Path, tmp_path: Path) -> None:
    """With the authority's root the report says who; with another one, or with other bytes, it fails."""
    timestamp(small, URL, AUTHORITY.post)
    export(small, tmp_path / "b.zip", generator="test 1")

    report = verify_bundle(tmp_path / "b.zip", tsa_roots=AUTHORITY.root_pem)
    assert (report.problems, report.authority_given) == ([], True)
    assert report.timestamps == [(40, "2027-01-15T08:00:00+00:00", "CN=Stamps")]
    assert verify_bundle(tmp_path / "b.zip").authority_given is False
    assert not verify_bundle(tmp_path / "b.zip", tsa_roots=make_authority().root_pem).ok
    with zipfile.ZipFile(tmp_path / "b.zip") as pack:
        pack.extractall(tmp_path / "b")
    (tmp_path / "roots.pem").write_bytes(AUTHORITY.root_pem)
    command = [sys.executable, "verify.py", "--tsa-roots", str(tmp_path / "roots.pem"), "--json"]
    done = subprocess.run(command, cwd=tmp_path / "b", capture_output=True, check=False)
    assert (done.returncode, json.loads(done.stdout)["timestamps"][0][0]) == (0, 40)
    stamped = tmp_path / "b" / "timestamps" / "40.tsr"
    stamped.write_bytes(stamped.read_bytes()[:-1])
    assert any("40.tsr" in problem for problem in verify_bundle(tmp_path / "b").problems)


def test_a_stamp_of_another_history_breaks_the_bundle(small: Path, tmp_path: Path) -> None:
    """What was stamped must be continued by the bundle's own checkpoint."""
    from audit_log.checkpoint import Checkpoint, sign_checkpoint
    from audit_log.keys import load_log_key
    from audit_log.note import Signer

    signer = Signer("audit.example.com/test", load_log_key(small / "log.key"))
    forked = sign_checkpoint(Checkpoint(signer.name, 17, b"x" * 32), [signer])
    response, _ = ask_authority(forked, URL, AUTHORITY.post)
    keep_stamp(small, KeptStamp(17, forked, response))
    export(small, tmp_path / "b.zip", generator="test 1")
    assert any("17.tsr" in problem for problem in verify_bundle(tmp_path / "b.zip").problems)
