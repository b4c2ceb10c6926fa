# SPDX-License-Identifier: Apache-2.0
"""RFC 3161 tokens: the right ones open, as other people's verifiers open them; nothing else does."""

import contextlib
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st

from audit_log import VerificationError
from audit_log.timestamp import open_timestamp, read_roots, timestamp_request
from tests.audit_log.authority import NOW, Authority, certificate, make_authority

MESSAGE = b"log\n7\nroot\n\nsignatures\n"
AUTHORITY = make_authority()
TOKEN = AUTHORITY.answer(timestamp_request(MESSAGE, 0x80FF))


def roots(authority: Authority = AUTHORITY) -> list[object]:
    return list(read_roots(authority.root_pem))


def opened(authority: Authority, message: bytes = MESSAGE, nonce: int = 5) -> object:
    token = authority.answer(timestamp_request(MESSAGE, nonce))
    return open_timestamp(token, message, [authority.root])


@pytest.mark.parametrize("key", [None, rsa.generate_private_key(65537, 2048)])
def test_a_token_says_when_and_by_whom(key: rsa.RSAPrivateKey | None) -> None:
    """With a root that the caller knows; without one it shows only that somebody signed."""
    authority = make_authority(key)
    token = authority.answer(timestamp_request(MESSAGE, 0x80FF))
    stamp = open_timestamp(token, MESSAGE, [authority.root])
    assert (stamp.at, stamp.by, stamp.is_trusted, stamp.nonce) == (NOW.timestamp(), "CN=Stamps", True, 0x80FF)
    assert open_timestamp(token, MESSAGE).is_trusted is False


def test_somebody_elses_verifier_agrees() -> None:
    """The tokens of these tests are ones, and so are the requests."""
    client = pytest.importorskip("rfc3161_client")
    response = client.decode_timestamp_response(TOKEN)
    verifier = client.VerifierBuilder().add_root_certificate(AUTHORITY.root).nonce(0x80FF).build()
    assert verifier.verify_message(response, MESSAGE)


def test_tokens_of_openssl_open_too(tmp_path: Path) -> None:
    """Made from our own request by `openssl ts`, with RSA, SHA-512 and all it adds."""
    if shutil.which("openssl") is None:
        pytest.skip("OPENSSL IS ABSENT: tokens of another maker are not tried")
    from cryptography.hazmat.primitives import serialization

    key = rsa.generate_private_key(65537, 2048)
    authority = make_authority(key)
    encoding, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    (tmp_path / "key.pem").write_bytes(key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, plain))
    (tmp_path / "tsa.pem").write_bytes(authority.certificate.public_bytes(encoding))
    (tmp_path / "serial").write_text("01\n")
    (tmp_path / "query").write_bytes(timestamp_request(MESSAGE, 77))
    (tmp_path / "tsa.cnf").write_text(
        "[tsa]\ndefault_tsa = one\n[one]\nserial = serial\nsigner_cert = tsa.pem\nsigner_key = key.pem\n"
        "signer_digest = sha512\ndefault_policy = 1.2.3.4\ndigests = sha256\naccuracy = secs:1\n"
        "clock_precision_digits = 3\nordering = yes\ntsa_name = yes\ness_cert_id_alg = sha256\n"
    )
    command = ["openssl", "ts", "-reply", "-config", "tsa.cnf", "-queryfile", "query", "-out", "reply"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    stamp = open_timestamp((tmp_path / "reply").read_bytes(), MESSAGE)
    assert (stamp.nonce, stamp.by) == (77, "CN=Stamps")


def test_what_does_not_fit_is_refused() -> None:
    """Other bytes, another root, a time outside the certificate, another purpose, a refusal."""
    with pytest.raises(VerificationError, match="other bytes"):
        opened(AUTHORITY, MESSAGE + b"x")
    with pytest.raises(VerificationError, match="root"):
        open_timestamp(TOKEN, MESSAGE, [make_authority().root])
    for at in ("20990101000000Z", "20200101000000Z"):
        with pytest.raises(VerificationError, match="root"):
            opened(replace(AUTHORITY, at=at))
    with pytest.raises(VerificationError, match="status 2"):
        opened(replace(AUTHORITY, status=2))
    with pytest.raises(VerificationError, match="signature"):
        opened(replace(AUTHORITY, key=ec.generate_private_key(ec.SECP256R1())))
    with pytest.raises(VerificationError, match="cannot be read"):
        opened(replace(AUTHORITY, at="yesterday"))


@pytest.mark.parametrize(
    ("usage", "critical"),
    [
        ((ExtendedKeyUsageOID.SERVER_AUTH,), True),
        ((ExtendedKeyUsageOID.TIME_STAMPING,), False),
        ((ExtendedKeyUsageOID.TIME_STAMPING, ExtendedKeyUsageOID.SERVER_AUTH), True),
    ],
)
def test_a_certificate_is_for_stamping_and_for_nothing_else(usage: tuple[object, ...], critical: bool) -> None:
    """RFC 3161 section 2.3."""
    key = ec.generate_private_key(ec.SECP256R1())
    other = certificate("Stamps", key, "Root", key, usage=usage, critical=critical)  # type: ignore[arg-type]
    with pytest.raises(VerificationError, match="time-stamps"):
        opened(replace(AUTHORITY, certificate=other, key=key))


def test_a_certificate_that_may_issue_nothing_issues_nothing() -> None:
    """Somebody with a certificate of the same root cannot vouch for another one."""
    key = ec.generate_private_key(ec.SECP256R1())
    below = certificate("Below", key, "Stamps", AUTHORITY.key)
    with pytest.raises(VerificationError, match="root"):
        open_timestamp(
            replace(AUTHORITY, certificate=below, key=key).answer(timestamp_request(MESSAGE, 1)),
            MESSAGE,
            [AUTHORITY.certificate],
        )


@given(at=st.integers(0, len(TOKEN) - 1), bit=st.integers(0, 7), cut=st.integers(0, len(TOKEN) - 1))
def test_no_other_token_opens_as_another_time(at: int, bit: int, cut: int) -> None:
    """A flipped bit changes nothing that is told, or is refused; what is cut off is refused; one kind of error."""
    flipped = bytearray(TOKEN)
    flipped[at] ^= 1 << bit
    try:
        stamp = open_timestamp(bytes(flipped), MESSAGE, [AUTHORITY.root])
    except VerificationError:
        pass
    else:
        assert (stamp.at, stamp.by, stamp.nonce) == (NOW.timestamp(), "CN=Stamps", 0x80FF)
    with pytest.raises(VerificationError):
        open_timestamp(TOKEN[:cut], MESSAGE)


def test_no_bit_of_a_token_can_be_flipped_into_another_error() -> None:
    """Every third bit of it: certificates have errors of their own."""
    for bit in range(0, 8 * len(TOKEN), 3):
        flipped = bytearray(TOKEN)
        flipped[bit // 8] ^= 1 << bit % 8
        with contextlib.suppress(VerificationError):
            open_timestamp(bytes(flipped), MESSAGE, [AUTHORITY.root])


@given(st.binary(max_size=200))
def test_junk_is_refused_with_one_kind_of_error(junk: bytes) -> None:
    """As a response and as roots."""
    with pytest.raises(VerificationError):
        open_timestamp(junk, MESSAGE)
    with pytest.raises(VerificationError):
        read_roots(junk)
