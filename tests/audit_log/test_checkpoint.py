# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: strict in, exact out."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from audit_log.checkpoint import Checkpoint, open_checkpoint, parse_checkpoint, parse_decimal, sign_checkpoint
from audit_log.errors import VerificationError
from audit_log.note import Signer, encode_base64, sign_note

SIGNER = Signer("example.com/log", Ed25519PrivateKey.from_private_bytes(bytes(32)))
ROOT = bytes(range(32))
TEXT = f"example.com/log\n42\n{encode_base64(ROOT)}\n"


@given(st.integers(0, 2**63 - 1), st.binary(min_size=32, max_size=32))
def test_a_checkpoint_comes_back_as_it_was_signed(size: int, root: bytes) -> None:
    """Any size, any root."""
    checkpoint = Checkpoint("example.com/log", size, root)

    assert checkpoint == open_checkpoint(sign_checkpoint(checkpoint, [SIGNER]), "example.com/log", [SIGNER.verifier])


def test_extension_lines_are_kept() -> None:
    """Others may use them."""
    assert parse_checkpoint(TEXT + "a\nb c\n").extensions == ("a", "b c")
    assert parse_checkpoint(TEXT + "a\n").text == TEXT + "a\n"


def test_a_checkpoint_of_another_log_is_refused() -> None:
    """Replaying another log's head fails on the origin line."""
    note = sign_note(TEXT.replace("example.com/log", "example.com/other"), [SIGNER])

    with pytest.raises(VerificationError, match="another log"):
        open_checkpoint(note, "example.com/log", [SIGNER.verifier])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "example.com/log\n42\n",
        TEXT[:-1],
        "\n" + TEXT,
        TEXT + "\n",
        TEXT.replace("42", "042"),
        TEXT.replace("42", "-1"),
        TEXT.replace("42", "+42"),
        TEXT.replace("42", "4 2"),
        TEXT.replace("42", "٤٢"),
        TEXT.replace("42", ""),
        TEXT.replace("42", str(2**63)),
        TEXT.replace("42", "9" * 5000),
        TEXT.replace("=", ""),
        f"example.com/log\n42\n{encode_base64(ROOT[:-1])}\n",
        f"example.com/log\n42\n{encode_base64(ROOT + b'x')}\n",
    ],
)
def test_what_is_not_a_checkpoint_is_refused(text: str) -> None:
    """Even when it is signed."""
    with pytest.raises(VerificationError):
        parse_checkpoint(text)


@pytest.mark.parametrize(("text", "value"), [("0", 0), ("7", 7), (str(2**63 - 1), 2**63 - 1)])
def test_plain_decimals_are_read(text: str, value: int) -> None:
    """Zero and the largest."""
    assert value == parse_decimal(text)
