# SPDX-License-Identifier: Apache-2.0
"""Outside eyes, c2sp.org/tlog-witness: both sides of asking somebody else to cosign each checkpoint.

A witness remembers, for each log, the last checkpoint that it cosigned, and cosigns another one only where that one is
proven to continue it: whoever rewrites history, or shows two, needs the witness as an accomplice. ``Witness`` is a
small one, to be run by another administration than the log's; ``ask_witness`` is the log's side. What must hold:
- The witness persists the new checkpoint before its cosignature leaves, and never goes back to a smaller tree.
- Its state is created explicitly: a witness whose state was lost must be retired, not started anew.
- The log's side takes from an answer only signature lines of keys that it knows and that verify.
"""

import fcntl
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from audit_log.checkpoint import Checkpoint, open_checkpoint, parse_checkpoint, parse_decimal
from audit_log.cosignature import CosignatureSigner, CosignatureVerifier
from audit_log.errors import LogNotInitialised, LogRefused, LogUnavailable, VerificationError
from audit_log.interfaces import Tiles
from audit_log.merkle import HASH_BYTES, consistency_proof, verify_consistency
from audit_log.note import Verifier, decode_base64, encode_base64, open_note, signature_line
from audit_log.sqlite import fsync_folder
from audit_log.tiles import TileTree

SIZE_TYPE = "text/x.tlog.size"
_TEXT_TYPE = "text/plain; charset=utf-8"
_MAX_REQUEST_BYTES = 64_000
_MAX_PROOF = 63

Post = Callable[[str, bytes], tuple[int, bytes]]
"""(address, body) -> (HTTP status, body); raises OSError where nobody answers."""


class Witness:
    """Cosigns checkpoints of known logs. Several processes may share its folder."""

    @classmethod
    def create(cls, folder: Path) -> None:
        """Make the state of a new witness; raises LogRefused where there is one."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            (folder / "lock").touch(mode=0o600, exist_ok=False)
        except FileExistsError:
            raise LogRefused("there is a witness in this folder already") from None

    def __init__(self, folder: Path, signer: CosignatureSigner, logs: Mapping[str, Sequence[Verifier]]) -> None:
        """``logs``: origin -> the log's keys. Raises LogNotInitialised where ``create`` was not called."""
        if not (folder / "lock").exists():
            raise LogNotInitialised("there is no witness in this folder; one whose state was lost must not start anew")
        self._folder = folder
        self._signer = signer
        self._logs = logs

    def add_checkpoint(self, request: bytes) -> tuple[int, str, bytes]:
        """The add-checkpoint call; gives HTTP status, content type and body."""
        try:
            old_size, proof, note = _read_request(request)
            origin = note.partition(b"\n")[0].decode()
        except (VerificationError, UnicodeDecodeError):
            return 400, _TEXT_TYPE, b"malformed request\n"
        verifiers = self._logs.get(origin)
        if verifiers is None:
            return 404, _TEXT_TYPE, b"unknown log\n"
        try:
            checkpoint = open_checkpoint(note, origin, verifiers)
        except VerificationError:
            return 403, _TEXT_TYPE, b"no known key signed this checkpoint\n"
        if old_size > checkpoint.size:
            return 400, _TEXT_TYPE, b"the old size is larger than the checkpoint's\n"
        with self._turn():
            last = self._last(origin, verifiers)
            if last.size != old_size:
                return 409, SIZE_TYPE, b"%d\n" % last.size
            if last.size == checkpoint.size and last.size and last.root != checkpoint.root:
                return 409, SIZE_TYPE, b"%d\n" % last.size
            try:
                _check_continues(last, checkpoint, proof)
            except VerificationError:
                return 422, _TEXT_TYPE, b"the checkpoint is not proven to continue the last one\n"
            self._keep(origin, note)
        text = note[: note.index(b"\n\n") + 1]
        return 200, _TEXT_TYPE, signature_line(text, self._signer)

    def _path(self, origin: str) -> Path:
        return self._folder / f"{origin.encode().hex()}.checkpoint"

    def _last(self, origin: str, verifiers: Sequence[Verifier]) -> Checkpoint:
        try:
            return open_checkpoint(self._path(origin).read_bytes(), origin, verifiers)
        except FileNotFoundError:
            return Checkpoint(origin, 0, b"")
        except (OSError, VerificationError) as error:
            raise LogRefused("the state of the witness is damaged; it must not cosign any more") from error

    def _keep(self, origin: str, note: bytes) -> None:
        path = self._path(origin)
        unfinished = path.with_suffix(".new")
        with unfinished.open("wb") as file:
            file.write(note)
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(path)
        fsync_folder(self._folder)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Comparing with the last checkpoint and keeping the new one happen as one."""
        fd = os.open(self._folder / "lock", os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)


@dataclass(frozen=True, slots=True)
class WitnessAddress:
    """A witness as the log's side knows it: its submission prefix and its keys."""

    url: str
    keys: tuple[CosignatureVerifier, ...]


def ask_witness(
    note: bytes,
    tiles: Tiles,
    verifiers: Sequence[Verifier],
    witness: WitnessAddress,
    post: Post,
    *,
    last_size: int = 0,
) -> bytes:
    """Have a checkpoint of ours cosigned; gives the note with the witness's signature lines added.

    ``last_size`` is what the witness cosigned last as far as we know. Raises LogUnavailable where it does not answer,
    LogRefused where it saw another history, VerificationError where its answer is none of its keys'.
    """
    checkpoint = open_checkpoint(note, verifiers[-1].name, verifiers)
    tree = TileTree(tiles.fetch, checkpoint.size)
    size, status = last_size, 0
    for _ in range(2):
        if size > checkpoint.size:
            raise LogRefused(f"the witness cosigned {size} records, this log has {checkpoint.size}: an old copy")
        proof = consistency_proof(size, checkpoint.size, tree.perfect) if size else []
        lines = [f"old {size}", *(encode_base64(hash_) for hash_ in proof)]
        try:
            request = "\n".join(lines).encode() + b"\n\n" + note
            status, answer = post(f"{witness.url.rstrip('/')}/add-checkpoint", request)
        except OSError as error:
            raise LogUnavailable(f"the witness cannot be reached: {type(error).__name__}") from error
        if status == 200:
            return _with_cosignatures(note, answer, witness.keys)
        if status != 409:
            break
        known = parse_decimal(answer.decode("ascii", "replace").removesuffix("\n"))
        if known == size:
            raise LogRefused(f"the witness saw another tree of {size} records under this log's name: it was forked")
        size = known
    if status in (403, 404, 422):
        raise LogRefused(f"the witness refuses this log with status {status}: compare keys, name and history")
    raise LogUnavailable(f"the witness answered with status {status}")


def keep_witnessed(home: Path, note: bytes) -> Path:
    """Keep a cosigned checkpoint in ``witnessed/`` of a log's home, the latest as ``witnessed/latest``; durable."""
    size = parse_checkpoint(note[: note.index(b"\n\n") + 1].decode()).size
    folder = home / "witnessed"
    folder.mkdir(mode=0o700, exist_ok=True)
    for name in (f"{size}.txt", "latest"):
        unfinished = folder / f"{name}.new"
        with unfinished.open("wb") as file:
            file.write(note)
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(folder / name)
    fsync_folder(folder)
    return folder / f"{size}.txt"


def _with_cosignatures(note: bytes, answer: bytes, keys: Sequence[CosignatureVerifier]) -> bytes:
    """The note with those lines of the answer that verify under a key that we know."""
    text = note[: note.index(b"\n\n") + 1]
    taken = []
    for line in answer.splitlines(keepends=True):
        try:
            open_note(text + b"\n" + line, keys)
        except VerificationError:
            continue
        taken.append(line)
    if not taken:
        raise VerificationError("the witness's answer holds no cosignature of a key that we know")
    return note + b"".join(taken)


def _read_request(request: bytes) -> tuple[int, list[bytes], bytes]:
    if len(request) > _MAX_REQUEST_BYTES:
        raise VerificationError("the request is too large")
    head, blank, note = request.partition(b"\n\n")
    lines = head.decode().split("\n")
    if not blank or not lines[0].startswith("old ") or len(lines) - 1 > _MAX_PROOF:
        raise VerificationError("the request has no old size line")
    proof = [decode_base64(line) for line in lines[1:]]
    if any(len(hash_) != HASH_BYTES for hash_ in proof):
        raise VerificationError("a hash of the proof has a wrong length")
    return parse_decimal(lines[0].removeprefix("old ")), proof, note


def _check_continues(last: Checkpoint, checkpoint: Checkpoint, proof: Sequence[bytes]) -> None:
    if last.size == 0:
        if proof:
            raise VerificationError("a proof from the empty tree is empty")
        return
    verify_consistency(last.size, checkpoint.size, proof, last.root, checkpoint.root)
