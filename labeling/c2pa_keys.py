# SPDX-License-Identifier: Apache-2.0
"""A provider's own certificate chain for Content Credentials, where no public authority has issued one.

Implements the certificate profile of C2PA 2.4 section 14.5: an ES256 leaf with extended key usages
``c2pa-kp-claimSigning`` and ``emailProtection``, critical ``digitalSignature``, key identifiers and an organisation,
issued by an intermediate under a root. Verifiers say "valid" of such a chain, and "trusted" where they were given the
root. The root's and the intermediate's keys are thrown away: they sign one leaf and nothing else ever.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from labeling.errors import LabelError

CLAIM_SIGNING: Final = ObjectIdentifier("1.3.6.1.4.1.62558.2.1")
_CLOCK_SKEW: Final = timedelta(hours=1)
_COORDINATE_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class SigningChain:
    """What ``keys new`` writes: the leaf's private key, the chain without the root, and the root for verifiers."""

    key_pem: bytes
    chain_pem: bytes
    root_pem: bytes


def new_chain(organisation: str, valid_days: int, clock: Callable[[], float]) -> SigningChain:
    """A fresh chain. ``clock`` gives seconds since the epoch. Raises :class:`LabelError` for an unusable name."""
    if not organisation.strip() or len(organisation) > 64:
        raise LabelError("the organisation of a certificate must have 1 to 64 characters")
    if not 1 <= valid_days <= 3650:
        raise LabelError("a certificate may be valid for 1 to 3650 days")
    now = datetime.fromtimestamp(clock(), UTC).replace(microsecond=0)
    until = now + timedelta(days=valid_days)
    root_key, middle_key, leaf_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
    root = _certificate("root", organisation, root_key, None, root_key, now, until, path_length=1)
    middle = _certificate("intermediate", organisation, middle_key, root, root_key, now, until, path_length=0)
    leaf = _certificate("content signing", organisation, leaf_key, middle, middle_key, now, until, path_length=None)
    key_pem = leaf_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    encoding = serialization.Encoding.PEM
    return SigningChain(
        key_pem, leaf.public_bytes(encoding) + middle.public_bytes(encoding), root.public_bytes(encoding)
    )


def _certificate(
    role: str,
    organisation: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Certificate | None,
    issuer_key: ec.EllipticCurvePrivateKey,
    now: datetime,
    until: datetime,
    *,
    path_length: int | None,
) -> x509.Certificate:
    is_authority = path_length is not None
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation),
            x509.NameAttribute(NameOID.COMMON_NAME, f"{organisation[:40]} {role}"),
        ]
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer.subject if issuer else name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(until)
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=path_length), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=not is_authority,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                key_cert_sign=is_authority,
                crl_sign=is_authority,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()),
            critical=False,
        )
    )
    if not is_authority:
        usages = x509.ExtendedKeyUsage([CLAIM_SIGNING, ExtendedKeyUsageOID.EMAIL_PROTECTION])
        builder = builder.add_extension(usages, critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def file_signer(key_pem: bytes, password: bytes | None = None) -> Callable[[bytes], bytes]:
    """A signing function for :class:`labeling.c2pa_manifest.ManifestSigner` from an ES256 key in PEM.

    The signature is r and s, 32 bytes each, as COSE wants it. Raises :class:`LabelError` for any other kind of key.
    """
    try:
        key = serialization.load_pem_private_key(key_pem, password)
    except (ValueError, TypeError):
        raise LabelError("the signing key cannot be read; give an unencrypted PEM key or its password") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise LabelError("the signing key must be an ECDSA key on the curve P-256; use a callback for other keys")
    private_key = key

    def sign(content: bytes) -> bytes:
        r, s = decode_dss_signature(private_key.sign(content, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(_COORDINATE_BYTES, "big") + s.to_bytes(_COORDINATE_BYTES, "big")

    return sign
