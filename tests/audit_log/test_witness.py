# SPDX-License-Identifier: Apache-2.0
"""Witnesses: they cosign what continues, and nothing else; the log's side takes nothing that does not verify."""

from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from audit_log import AuditLog, Entry, LogNotInitialised, LogRefused, LogUnavailable, VerificationError, new_record_id
from audit_log.bundle import verify_bundle
from audit_log.checkpoint import Checkpoint, sign_checkpoint
from audit_log.commands import export, witness
from audit_log.cosignature import CosignatureSigner
from audit_log.keys import load_log_key, read_vkeys
from audit_log.merkle import consistency_proof, root_of
from audit_log.note import Signer, encode_base64, open_note
from audit_log.publish import TileFolder
from audit_log.trust import TrustPolicy
from audit_log.witness import SIZE_TYPE, Witness, WitnessAddress, ask_witness

ORIGIN = "audit.example.com/test"
LOG = Signer(ORIGIN, Ed25519PrivateKey.from_private_bytes(b"l" * 32))
ED25519 = CosignatureSigner("w.example", Ed25519PrivateKey.from_private_bytes(b"w" * 32), lambda: 1.8e9)
MLDSA = CosignatureSigner("q.example", MLDSA44PrivateKey.from_seed_bytes(b"q" * 32), lambda: 1.8e9)
LEAVES = [bytes([number]) * 32 for number in range(40)]


def perfect(level: int, index: int) -> bytes:
    return root_of(LEAVES[index << level : (index + 1) << level])


def note(size: int, *, root: bytes | None = None, signer: Signer = LOG, origin: str = ORIGIN) -> bytes:
    return sign_checkpoint(Checkpoint(origin, size, root or root_of(LEAVES[:size])), [signer])


def request(old: int, new: int, **more: object) -> bytes:
    lines = [f"old {old}", *(encode_base64(one) for one in (consistency_proof(old, new, perfect) if old else ()))]
    return "\n".join(lines).encode() + b"\n\n" + note(new, **more)  # type: ignore[arg-type]


@pytest.fixture(params=[ED25519, MLDSA], ids=["ed25519", "mldsa44"])
def seer(request: pytest.FixtureRequest, tmp_path: Path) -> Witness:
    """A witness that knows one log."""
    Witness.create(tmp_path / "witness")
    return Witness(tmp_path / "witness", request.param, {ORIGIN: [LOG.verifier]})


def test_a_log_that_grows_is_cosigned_each_time(seer: Witness, tmp_path: Path) -> None:
    """From nothing, on, the same again, and by another process with the same state."""
    again = Witness(tmp_path / "witness", seer._signer, {ORIGIN: [LOG.verifier]})
    for old, new, who in ((0, 7, seer), (7, 8, again), (8, 40, seer), (40, 40, again)):
        status, _, answer = who.add_checkpoint(request(old, new))
        assert status == 200
        verifier = seer._signer.verifier
        assert open_note(note(new) + answer, [LOG.verifier, verifier]).verified_by == (LOG.verifier, verifier)


def test_what_the_protocol_forbids_is_refused_with_its_status(seer: Witness) -> None:
    """And changes nothing."""
    assert seer.add_checkpoint(request(0, 7))[0] == 200
    stranger = Signer(ORIGIN, Ed25519PrivateKey.generate())
    good = request(7, 9)
    for bad, wanted in (
        (request(0, 9), (409, SIZE_TYPE, b"7\n")),
        (request(5, 9), (409, SIZE_TYPE, b"7\n")),
        (request(7, 7, root=b"x" * 32), (409, SIZE_TYPE, b"7\n")),
        (request(7, 9, root=b"x" * 32), 422),
        (b"old 7\n\n" + note(9), 422),
        (request(7, 9, signer=stranger), 403),
        (request(7, 9, origin="other"), 404),
        (b"old 9\n\n" + note(7), 400),
        (good.replace(b"old 7", b"old 07"), 400),
        (good.replace(b"old 7", b"new 7"), 400),
        (good.replace(b"=\n", b"\n", 1), 400),
        (b"old 7\n" + b"AAAA\n" * 64 + b"\n" + note(9), 400),
        (b"old 7\nAAAA\n\n" + note(9), 400),
        (b"", 400),
        (b"\xff\n\n" + note(9), 400),
        (b"old 7\n\n\xff\n", 400),
        (b"old 7\n" + b"A" * 70_000, 400),
    ):
        answer = seer.add_checkpoint(bad)
        assert (answer if isinstance(wanted, tuple) else answer[0]) == wanted
    assert seer.add_checkpoint(b"old 0\n" + good.partition(b"\n")[2])[0] == 409
    assert seer.add_checkpoint(good)[0] == 200


def test_a_proof_from_nothing_is_empty(seer: Witness) -> None:
    """Anything else is refused."""
    assert seer.add_checkpoint(b"old 0\n" + encode_base64(b"x" * 32).encode() + b"\n\n" + note(5))[0] == 422


def test_a_witness_whose_state_is_lost_does_not_start_anew(seer: Witness, tmp_path: Path) -> None:
    """Nor is it made twice, nor does it go on with damaged state."""
    with pytest.raises(LogNotInitialised):
        Witness(tmp_path / "elsewhere", ED25519, {})
    with pytest.raises(LogRefused):
        Witness.create(tmp_path / "witness")
    seer.add_checkpoint(request(0, 7))
    seer._path(ORIGIN).write_bytes(b"damaged")
    with pytest.raises(LogRefused):
        seer.add_checkpoint(request(7, 8))


def test_a_new_checkpoint_is_kept_before_it_is_cosigned(seer: Witness, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it cannot be kept, no cosignature leaves."""

    def full(*values: object) -> None:
        raise OSError("full")

    monkeypatch.setattr(seer, "_keep", full)
    with pytest.raises(OSError, match="full"):
        seer.add_checkpoint(request(0, 7))


@pytest.fixture
def posting(small: Path, tmp_path: Path) -> Callable[[str, bytes], tuple[int, bytes]]:
    """The network between the log in ``small`` and a witness of its own."""
    Witness.create(tmp_path / "w")
    seer = Witness(tmp_path / "w", ED25519, {ORIGIN: read_vkeys(small)})

    def post(address: str, body: bytes) -> tuple[int, bytes]:
        assert address == "https://w.example/prefix/add-checkpoint"
        status, _, answer = seer.add_checkpoint(body)
        return status, answer

    return post


ADDRESS = WitnessAddress("https://w.example/prefix/", (ED25519.verifier,))


def test_a_log_has_its_checkpoints_cosigned_and_shows_it(
    small: Path, tmp_path: Path, posting: Callable[[str, bytes], tuple[int, bytes]]
) -> None:
    """Again after it grew; a bundle then meets a policy that asks for the witness."""
    done = witness(small, [ADDRESS], posting)
    assert (done["size"], done["failed"]) == (40, {})
    log = AuditLog.open(small, writer="gw", clock=lambda: 1.8e9)
    log.append_blocking(Entry({"id": new_record_id(), "type": "exchange"}))
    log.close()
    nobody = WitnessAddress("https://w.example/prefix/", (MLDSA.verifier,))  # type: ignore[arg-type]
    done = witness(small, [nobody, ADDRESS], posting)
    assert done["size"] == 43
    assert "no cosignature" in done["failed"]["https://w.example/prefix/"]  # type: ignore[index]
    assert (small / "witnessed" / "latest").read_bytes() == (small / "witnessed" / "43.txt").read_bytes()

    policy = TrustPolicy(read_vkeys(small), {"w": ED25519.verifier}, {}, "w")
    (tmp_path / "policy").write_bytes(policy.encode())
    export(small, tmp_path / "b.zip", generator="t", policy=tmp_path / "policy")
    report = verify_bundle(tmp_path / "b.zip", policy=(tmp_path / "policy").read_bytes())
    assert (report.problems, report.witnesses, report.key_given) == ([], ["w"], True)


def test_a_witness_that_saw_another_history_stops_the_log(
    small: Path, posting: Callable[[str, bytes], tuple[int, bytes]]
) -> None:
    """A fork of the same size, one that cannot be proven, and an old copy."""
    signer = Signer(ORIGIN, load_log_key(small / "log.key"))
    tiles = TileFolder(small / "tiles")
    forked = sign_checkpoint(Checkpoint(ORIGIN, 40, b"x" * 32), [signer])
    status, _ = posting("https://w.example/prefix/add-checkpoint", b"old 0\n\n" + forked)
    assert status == 200
    with pytest.raises(LogRefused, match="forked"):
        witness(small, [ADDRESS], posting)
    later = sign_checkpoint(Checkpoint(ORIGIN, 41, b"x" * 32), [signer])
    with pytest.raises(LogRefused, match="old copy"):
        ask_witness(tiles.published() or b"", tiles, read_vkeys(small), ADDRESS, lambda *_: (409, b"41\n"))
    with pytest.raises(VerificationError):
        ask_witness(later, tiles, read_vkeys(small), ADDRESS, posting, last_size=40)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ((500, b""), LogUnavailable),
        ((422, b""), LogRefused),
        ((403, b""), LogRefused),
        ((409, b"x\n"), VerificationError),
        ((409, b"\xff"), VerificationError),
        ((200, b""), VerificationError),
        ((200, b"\xff\n\xe2\x80\x94 w.example AAAA\n"), VerificationError),
    ],
)
def test_other_answers_are_told_apart(small: Path, answer: tuple[int, bytes], error: type[Exception]) -> None:
    """What may pass, what a person has to look at, and what is no answer."""
    tiles = TileFolder(small / "tiles")
    with pytest.raises(error):
        ask_witness(tiles.published() or b"", tiles, read_vkeys(small), ADDRESS, lambda *_: answer)


def test_a_witness_that_cannot_be_reached_harms_nobody(small: Path) -> None:
    """It is named, and nothing is kept."""

    def down(address: str, body: bytes) -> tuple[int, bytes]:
        raise ConnectionRefusedError

    done = witness(small, [ADDRESS], down)
    assert "cannot be reached" in done["failed"]["https://w.example/prefix/"]  # type: ignore[index]
    assert not (small / "witnessed").exists()
