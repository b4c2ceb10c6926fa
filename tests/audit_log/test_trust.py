# SPDX-License-Identifier: Apache-2.0
"""Trust policies: what the specification allows is read, and a quorum is counted as it says."""

import itertools

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from audit_log.checkpoint import Checkpoint, sign_checkpoint
from audit_log.cosignature import CosignatureSigner, cosign
from audit_log.errors import VerificationError
from audit_log.note import Signer
from audit_log.trust import parse_policy

LOG = Signer("log.example/a", Ed25519PrivateKey.from_private_bytes(b"l" * 32))
OTHER = Signer("log.example/b", Ed25519PrivateKey.from_private_bytes(b"m" * 32))
NOTE = sign_checkpoint(Checkpoint("log.example/a", 7, b"r" * 32), [LOG])
WITNESSES = {
    name: CosignatureSigner(f"{name}.example", Ed25519PrivateKey.from_private_bytes(name.encode() * 16), lambda: 1.0)
    for name in ("X1", "X2", "X3", "Y1", "Y2")
}
LINES = [f"log {LOG.verifier.vkey}", *(f"witness {name} {key.verifier.vkey}" for name, key in WITNESSES.items())]


def policy(*lines: str) -> bytes:
    return "\n".join([*LINES, *lines, ""]).encode()


def test_two_levels_of_groups_are_counted_as_in_the_specification() -> None:
    """Two of three of one organisation and any of another: tried with every set of cosigners."""
    read = parse_policy(policy("group X 2 X1 X2 X3", "group Y any Y1 Y2", "group both all X Y", "quorum both"))

    for count in range(6):
        for names in itertools.combinations(WITNESSES, count):
            note = NOTE
            for name in names:
                note = cosign(note, WITNESSES[name])
            enough = len({"X1", "X2", "X3"} & {*names}) >= 2 and bool({"Y1", "Y2"} & {*names})
            if enough:
                assert read.open(note, "log.example/a")[1] == names
            else:
                with pytest.raises(VerificationError, match="quorum"):
                    read.open(note, "log.example/a")


def test_a_single_witness_can_be_the_quorum() -> None:
    """Without a group."""
    read = parse_policy(policy("quorum X1"))

    assert read.open(cosign(NOTE, WITNESSES["X1"]), "log.example/a")[1] == ("X1",)
    with pytest.raises(VerificationError):
        read.open(cosign(NOTE, WITNESSES["X2"]), "log.example/a")


def test_without_a_quorum_the_log_suffices_and_nothing_else_does() -> None:
    """Witnesses alone are no log, another log is no log, another origin is not this one."""
    read = parse_policy(policy("quorum none"))

    assert read.open(NOTE, "log.example/a")[0].size == 7
    text = NOTE.partition(b"\n\n")[0] + b"\n\n"
    with pytest.raises(VerificationError, match="no log of the policy"):
        read.open(cosign(text, WITNESSES["X1"]), "log.example/a")
    with pytest.raises(VerificationError):
        read.open(sign_checkpoint(Checkpoint("log.example/a", 7, b"r" * 32), [OTHER]), "log.example/a")
    with pytest.raises(VerificationError, match="another log"):
        read.open(NOTE, "log.example/c")


def test_comments_blanks_tabs_and_urls_are_allowed() -> None:
    """As the syntax says, and names are octets."""
    text = f"# about\n\n \tlog\t{LOG.verifier.vkey}  https://log.example/ \n  # more\n".encode()
    text += b"witness \xe8\xa7\x81 " + WITNESSES["X1"].verifier.vkey.encode() + b" https://w\n"
    text += b"group g\xff 1 \xe8\xa7\x81\n"
    read = parse_policy(text + b"quorum g\xff")

    assert read.open(cosign(NOTE, WITNESSES["X1"]), "log.example/a")[0].size == 7
    assert parse_policy(read.encode()) == read


@pytest.mark.parametrize(
    "lines",
    [
        (),
        ("quorum none", "quorum none"),
        ("quorum Z",),
        ("quorum",),
        ("group none 1 X1", "quorum none"),
        ("group g 0 X1", "quorum g"),
        ("group g 2 X1", "quorum g"),
        ("group g 01 X1", "quorum g"),
        ("group g +1 X1", "quorum g"),
        ("group g 1", "quorum none"),
        ("group g 1 g", "quorum g"),
        ("group g 1 none", "quorum g"),
        ("group g 1 X1", "group h 1 X1", "quorum h"),
        ("group g 2 X1 X1", "quorum g"),
        ("group X1 1 X2", "quorum X1"),
        (LINES[0], "quorum none"),
        (LINES[1].replace("X1", "Z", 1), "quorum none"),
        (f"log {WITNESSES['X1'].verifier.vkey}", "quorum none"),
        (f"witness Z {LOG.verifier.vkey}", "quorum none"),
        ("log x", "quorum none"),
        ("log \xff+00000000+AAAA", "quorum none"),
        ("listen 80", "quorum none"),
        ("quorum none\r",),
    ],
)
def test_what_the_specification_forbids_is_refused(lines: tuple[str, ...]) -> None:
    """Duplicates, forward references, thresholds that cannot be, keys of the wrong kind, control characters."""
    with pytest.raises(VerificationError):
        parse_policy(policy(*lines))


def test_a_policy_that_is_too_large_is_refused() -> None:
    """It is read from a bundle that somebody else made."""
    with pytest.raises(VerificationError):
        parse_policy(b"\n" * 2_000 + b"quorum none\n")


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """With the one error that parsers raise."""
    try:
        parse_policy(data)
    except VerificationError:
        return


def test_a_policy_survives_being_written() -> None:
    """Groups, members and quorum come back as they were."""
    read = parse_policy(policy("group X 2 X1 X2 X3", "group both all X Y1", "quorum both"))

    assert parse_policy(read.encode()) == read
