# SPDX-License-Identifier: Apache-2.0
"""Whom a reader trusts, c2sp.org/tlog-policy: the log's keys, its witnesses, and how many of these must agree.

What must hold: the parser accepts what the specification accepts, and raises nothing but VerificationError; a
checkpoint passes only with a signature of a listed log and cosignatures that meet the quorum.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from audit_log.checkpoint import Checkpoint, parse_checkpoint
from audit_log.cosignature import CosignatureVerifier, parse_vkey
from audit_log.errors import VerificationError
from audit_log.note import NoteVerifier, Verifier, open_note

_MAX_POLICY_BYTES = 256_000
_MAX_POLICY_LINES = 1_000


@dataclass(frozen=True, slots=True)
class TrustPolicy:
    """A read policy. ``groups`` maps a group to its threshold and members; ``quorum`` None: no cosignature needed."""

    logs: tuple[Verifier, ...]
    witnesses: Mapping[str, CosignatureVerifier] = field(default_factory=dict)
    groups: Mapping[str, tuple[int, tuple[str, ...]]] = field(default_factory=dict)
    quorum: str | None = None

    def open(self, note: bytes, origin: str) -> tuple[Checkpoint, tuple[str, ...]]:
        """Check a checkpoint; gives it with the names of the witnesses that cosigned. Raises VerificationError."""
        opened = open_note(note, [*self.logs, *self.witnesses.values()])
        if not any(log in opened.verified_by for log in self.logs):
            raise VerificationError("the checkpoint is signed by no log of the policy")
        checkpoint = parse_checkpoint(opened.text)
        if checkpoint.origin != origin:
            raise VerificationError("the checkpoint belongs to another log: its origin line differs")
        names = tuple(name for name, witness in self.witnesses.items() if witness in opened.verified_by)
        if self.quorum is not None and not self._agrees(self.quorum, frozenset(names)):
            raise VerificationError(
                f"the checkpoint of size {checkpoint.size} has cosignatures of {len(names)} witnesses of the policy;"
                " its quorum asks for more"
            )
        return checkpoint, names

    def _agrees(self, name: str, signed: frozenset[str]) -> bool:
        group = self.groups.get(name)
        if group is None:
            return name in signed
        needed, members = group
        return sum(self._agrees(member, signed) for member in members) >= needed

    def encode(self) -> bytes:
        """The policy as a file."""
        lines = [b"log " + log.vkey.encode() for log in self.logs]
        lines += [b"witness %s %s" % (_octets(name), key.vkey.encode()) for name, key in self.witnesses.items()]
        for name, (needed, members) in self.groups.items():
            lines.append(b"group %s %d %s" % (_octets(name), needed, b" ".join(map(_octets, members))))
        lines.append(b"quorum " + _octets(self.quorum or "none"))
        return b"\n".join(lines) + b"\n"


def parse_policy(data: bytes) -> TrustPolicy:
    """Read a policy file; raises VerificationError."""
    if len(data) > _MAX_POLICY_BYTES or data.count(b"\n") > _MAX_POLICY_LINES:
        raise VerificationError("the policy is too large to be one")
    if any((byte < 32 and byte not in b"\t\n") or byte == 127 for byte in data):
        raise VerificationError("the policy holds a control character")
    # Latin-1 keeps every octet as it is: the specification treats names as opaque octets.
    reader = _PolicyReader()
    for number, line in enumerate(data.decode("latin-1").split("\n"), 1):
        words = line.replace("\t", " ").split(" ")
        words = [word for word in words if word]
        if words and not words[0].startswith("#"):
            try:
                reader.add(words)
            except VerificationError as error:
                raise VerificationError(f"policy line {number}: {error}") from None
    return reader.done()


class _PolicyReader:
    def __init__(self) -> None:
        self._logs: list[Verifier] = []
        self._witnesses: dict[str, CosignatureVerifier] = {}
        self._groups: dict[str, tuple[int, tuple[str, ...]]] = {}
        self._members: set[str] = set()
        self._quorum: str | None = None

    def add(self, words: Sequence[str]) -> None:
        match words:
            case ["log", vkey] | ["log", vkey, _]:
                self._add_log(_vkey(vkey))
            case ["witness", name, vkey] | ["witness", name, vkey, _]:
                self._new_name(name)
                self._add_witness(name, _vkey(vkey))
            case ["group", name, needed, *members]:
                self._new_name(name)
                self._add_group(name, needed, members)
            case ["quorum", name]:
                if self._quorum is not None:
                    raise VerificationError("there is a second quorum line")
                if name != "none":
                    self._known(name)
                self._quorum = name
            case _:
                raise VerificationError("not a log, witness, group or quorum line")

    def done(self) -> TrustPolicy:
        if self._quorum is None:
            raise VerificationError("the policy has no quorum line")
        quorum = None if self._quorum == "none" else self._quorum
        return TrustPolicy(tuple(self._logs), self._witnesses, self._groups, quorum)

    def _add_log(self, verifier: NoteVerifier) -> None:
        if not isinstance(verifier, Verifier):
            raise VerificationError("the key of a log is of type 1")
        if any(log.public_key == verifier.public_key for log in self._logs):
            raise VerificationError("the same log key is listed twice")
        self._logs.append(verifier)

    def _add_witness(self, name: str, verifier: NoteVerifier) -> None:
        if not isinstance(verifier, CosignatureVerifier):
            raise VerificationError("the key of a witness is of type 4 or 6")
        if any(witness.public_key == verifier.public_key for witness in self._witnesses.values()):
            raise VerificationError("the same witness key is listed twice")
        self._witnesses[name] = verifier

    def _add_group(self, name: str, needed: str, members: Sequence[str]) -> None:
        for member in members:
            self._known(member)
            if member in self._members:
                raise VerificationError("a name is a member of two groups")
            self._members.add(member)
        if needed == "any":
            threshold = 1
        elif needed == "all":
            threshold = len(members)
        elif needed.isascii() and needed.isdigit() and len(needed) < 6 and needed[0] != "0":
            threshold = int(needed)
        else:
            raise VerificationError("the threshold of a group is any, all or a number")
        if not 1 <= threshold <= len(members):
            raise VerificationError(f"a group of {len(members)} members cannot have threshold {threshold}")
        self._groups[name] = (threshold, tuple(members))

    def _new_name(self, name: str) -> None:
        if name == "none" or name in self._witnesses or name in self._groups:
            raise VerificationError("a name is used twice, or is the reserved name none")

    def _known(self, name: str) -> None:
        if name not in self._witnesses and name not in self._groups:
            raise VerificationError("a name is used before it was defined")


def _octets(name: str) -> bytes:
    return name.encode("latin-1")


def _vkey(octets: str) -> NoteVerifier:
    try:
        return parse_vkey(octets.encode("latin-1").decode())
    except UnicodeDecodeError:
        raise VerificationError("a verifier key is not valid UTF-8") from None
