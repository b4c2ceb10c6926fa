# SPDX-License-Identifier: Apache-2.0
"""Time-stamps of checkpoints by an outside authority: RFC 3161 with RFC 5816, checked offline with ``cryptography``.

A token is CMS SignedData (RFC 5652) around a TSTInfo that names the hash of what was stamped and the time. What must
hold: a token counts only where hash, signed attributes, signature, certificate and purpose all fit; where the caller
gives root certificates, the signer's certificate leads to one of them and was valid at that time. Without roots it is
shown that somebody signed, and not who. DER is read strictly and nothing but VerificationError is raised.

Algorithms: SHA-256, SHA-384 and SHA-512; RSA with PKCS #1 v1.5, ECDSA, Ed25519. Revocation is not looked at: that
needs a network.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.x509.oid import ExtendedKeyUsageOID

from audit_log.errors import VerificationError

_INTEGER, _OCTETS, _OID, _SEQUENCE, _SET, _TIME = 0x02, 0x04, 0x06, 0x30, 0x31, 0x18
_SIGNED_DATA = bytes.fromhex("2a864886f70d010702")
_TST_INFO = bytes.fromhex("2a864886f70d0109100104")
_CONTENT_TYPE = bytes.fromhex("2a864886f70d010903")
_MESSAGE_DIGEST = bytes.fromhex("2a864886f70d010904")
_SIGNING_CERTIFICATE = bytes.fromhex("2a864886f70d010910020c")
_SIGNING_CERTIFICATE_V2 = bytes.fromhex("2a864886f70d010910022f")
_SHA256_OID = bytes.fromhex("608648016503040201")
_HASHES: dict[bytes, hashes.HashAlgorithm] = {
    _SHA256_OID: hashes.SHA256(),
    bytes.fromhex("608648016503040202"): hashes.SHA384(),
    bytes.fromhex("608648016503040203"): hashes.SHA512(),
}
_RSA_OR_EC_WITH: dict[bytes, hashes.HashAlgorithm | None] = {
    bytes.fromhex("2a864886f70d010101"): None,  # rsaEncryption: the hash is that of digestAlgorithm
    bytes.fromhex("2a864886f70d01010b"): hashes.SHA256(),
    bytes.fromhex("2a864886f70d01010c"): hashes.SHA384(),
    bytes.fromhex("2a864886f70d01010d"): hashes.SHA512(),
    bytes.fromhex("2a8648ce3d040302"): hashes.SHA256(),
    bytes.fromhex("2a8648ce3d040303"): hashes.SHA384(),
    bytes.fromhex("2a8648ce3d040304"): hashes.SHA512(),
    bytes.fromhex("2b6570"): None,  # Ed25519
}
_MOST_CHAIN = 8
_UNREADABLE = (
    ValueError,
    TypeError,
    IndexError,
    OverflowError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
"""What reading damaged DER and certificates raises; all of it becomes VerificationError."""


@dataclass(frozen=True, slots=True)
class TimeStamp:
    """What a token says. ``at``: seconds since the epoch. ``by``: subject of the signer's certificate (RFC 4514).

    ``is_trusted``: the certificate leads to a root that the caller gave. ``nonce`` is that of the request.
    """

    at: float
    by: str
    is_trusted: bool
    nonce: int | None


@dataclass(frozen=True, slots=True)
class _Node:
    tag: int
    content: bytes
    raw: bytes


def timestamp_request(message: bytes, nonce: int) -> bytes:
    """A TimeStampReq for the SHA-256 of a message; asks for the signer's certificate. ``nonce``: positive."""
    algorithm = _der(_SEQUENCE, _der(_OID, _SHA256_OID), b"\x05\x00")
    imprint = _der(_SEQUENCE, algorithm, _der(_OCTETS, sha256(message).digest()))
    number = nonce.to_bytes(nonce.bit_length() // 8 + 1, "big")
    return _der(_SEQUENCE, _der(_INTEGER, b"\x01"), imprint, _der(_INTEGER, number), b"\x01\x01\xff")


def open_timestamp(response: bytes, message: bytes, roots: Sequence[x509.Certificate] = ()) -> TimeStamp:
    """Check a TimeStampResp for a message; raises VerificationError for anything that does not fit."""
    try:
        return _open(response, message, roots)
    except _UNREADABLE as error:
        raise VerificationError(f"the time-stamp cannot be read: {type(error).__name__}") from None


def read_roots(pem: bytes) -> list[x509.Certificate]:
    """Certificates of a PEM file; raises VerificationError where there is none."""
    try:
        return x509.load_pem_x509_certificates(pem)
    except _UNREADABLE:
        raise VerificationError("the file of root certificates holds no certificate in PEM form") from None


def _open(response: bytes, message: bytes, roots: Sequence[x509.Certificate]) -> TimeStamp:
    top = _children(_only(response, _SEQUENCE))
    status = int.from_bytes(_children(_expect(top[0], _SEQUENCE))[0].content, "big")
    if status > 1 or len(top) != 2:
        raise VerificationError(f"the time-stamp was refused with status {status}")
    content_type, wrapped = _children(_expect(top[1], _SEQUENCE))
    if content_type.content != _SIGNED_DATA:
        raise VerificationError("the time-stamp is not signed data")
    signed = _children(_only(_expect(wrapped, 0xA0).content, _SEQUENCE))
    inner_type, inner = _children(_expect(signed[2], _SEQUENCE))
    if inner_type.content != _TST_INFO:
        raise VerificationError("what is signed is not a time-stamp")
    info = _expect(_only(_expect(inner, 0xA0).content), _OCTETS).content
    certificates = [
        x509.load_der_x509_certificate(one.raw) for part in signed[3:-1] if part.tag == 0xA0 for one in _children(part)
    ]
    (signer,) = _children(_expect(signed[-1], _SET))
    at, nonce = _read_info(info, message)
    certificate = _check_signer(_children(_expect(signer, _SEQUENCE)), info, certificates)
    is_trusted = bool(roots) and _leads_to(certificate, certificates, roots, at)
    if roots and not is_trusted:
        raise VerificationError("the certificate that signed the time-stamp does not lead to a root that you gave")
    return TimeStamp(at.timestamp(), certificate.subject.rfc4514_string(), is_trusted, nonce)


def _read_info(info: bytes, message: bytes) -> tuple[datetime, int | None]:
    parts = _children(_only(info, _SEQUENCE))
    algorithm, imprint = _children(_expect(parts[2], _SEQUENCE))
    if _expect(imprint, _OCTETS).content != _hash(_hash_of(algorithm), message):
        raise VerificationError("the time-stamp is of other bytes")
    text = _expect(parts[4], _TIME).content.decode("ascii")
    form = "%Y%m%d%H%M%S.%fZ" if "." in text else "%Y%m%d%H%M%SZ"
    at = datetime.strptime(text, form).replace(tzinfo=UTC)
    nonce = next((int.from_bytes(part.content, "big") for part in parts[5:] if part.tag == _INTEGER), None)
    return at, nonce


def _check_signer(signer: Sequence[_Node], info: bytes, certificates: Sequence[x509.Certificate]) -> x509.Certificate:
    """The certificate that signed; SignerInfo is version, sid, digest, [0] attributes, algorithm, signature."""
    digest = _hash_of(signer[2])
    attributes_node = _expect(signer[3], 0xA0)
    attributes: dict[bytes, _Node] = {}
    for attribute in _children(attributes_node):
        name, values = _children(_expect(attribute, _SEQUENCE))
        if name.content in attributes:
            raise VerificationError("the time-stamp has an attribute twice")
        (attributes[name.content],) = _children(_expect(values, _SET))[:1]
    content_type, hash_ = attributes.get(_CONTENT_TYPE), attributes.get(_MESSAGE_DIGEST)
    if content_type is None or hash_ is None or content_type.content != _TST_INFO:
        raise VerificationError("the time-stamp's attributes do not say what is signed")
    if hash_.content != _hash(digest, info):
        raise VerificationError("the time-stamp's content is not what was signed")
    certificate = _named_certificate(attributes, certificates)
    _check_purpose(certificate)
    signed = b"\x31" + attributes_node.raw[1:]  # RFC 5652 section 5.4: as a SET OF, not as [0]
    algorithm = _children(_expect(signer[4], _SEQUENCE))[0].content
    if algorithm not in _RSA_OR_EC_WITH:
        raise VerificationError("the time-stamp is signed with an algorithm that is not known here")
    _check_signature(certificate, _expect(signer[5], _OCTETS).content, signed, _RSA_OR_EC_WITH[algorithm] or digest)
    return certificate


def _named_certificate(attributes: dict[bytes, _Node], certificates: Sequence[x509.Certificate]) -> x509.Certificate:
    """The certificate whose hash the signed attributes name (RFC 5816, or RFC 2634 with SHA-1)."""
    newer = attributes.get(_SIGNING_CERTIFICATE_V2)
    named = newer or attributes.get(_SIGNING_CERTIFICATE)
    if named is None:
        raise VerificationError("the time-stamp does not name the certificate that signed it")
    parts = _children(_expect(_children(_expect(_children(_expect(named, _SEQUENCE))[0], _SEQUENCE))[0], _SEQUENCE))
    algorithm: hashes.HashAlgorithm = hashes.SHA256() if newer else hashes.SHA1()
    if newer and parts[0].tag == _SEQUENCE:
        algorithm = _hash_of(parts[0])
    wanted = next((part.content for part in parts if part.tag == _OCTETS), None)
    for certificate in certificates:
        if certificate.fingerprint(algorithm) == wanted:
            return certificate
    raise VerificationError("the certificate that signed the time-stamp is not in it")


def _check_purpose(certificate: x509.Certificate) -> None:
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    except x509.ExtensionNotFound:
        raise VerificationError("the certificate is not one for time-stamps") from None
    if not usage.critical or [*usage.value] != [ExtendedKeyUsageOID.TIME_STAMPING]:
        raise VerificationError("the certificate is not one for time-stamps alone")


def _check_signature(
    certificate: x509.Certificate, signature: bytes, signed: bytes, algorithm: hashes.HashAlgorithm
) -> None:
    key = certificate.public_key()
    try:
        if isinstance(key, RSAPublicKey):
            key.verify(signature, signed, padding.PKCS1v15(), algorithm)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, signed, ec.ECDSA(algorithm))
        elif isinstance(key, Ed25519PublicKey):
            key.verify(signature, signed)
        else:
            raise VerificationError("the time-stamp is signed with a kind of key that is not known here")
    except InvalidSignature:
        raise VerificationError("the time-stamp's signature is wrong") from None


def _leads_to(
    certificate: x509.Certificate,
    others: Sequence[x509.Certificate],
    roots: Sequence[x509.Certificate],
    at: datetime,
) -> bool:
    for _ in range(_MOST_CHAIN):
        if not certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc:
            return False
        if any(certificate == root or _is_issued_by(certificate, root) for root in roots):
            return True
        above = next((one for one in others if one != certificate and _is_issued_by(certificate, one)), None)
        if above is None:
            return False
        certificate = above
    return False


def _is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
        return issuer.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (*_UNREADABLE, InvalidSignature, x509.ExtensionNotFound):
        return False


def _hash_of(node: _Node) -> hashes.HashAlgorithm:
    found = _HASHES.get(_children(_expect(node, _SEQUENCE))[0].content)
    if found is None:
        raise VerificationError("the time-stamp uses a hash that is not known here")
    return found


def _hash(algorithm: hashes.HashAlgorithm, data: bytes) -> bytes:
    digest = hashes.Hash(algorithm)
    digest.update(data)
    return digest.finalize()


def _der(tag: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    if len(content) < 0x80:
        return bytes([tag, len(content)]) + content
    length = len(content).to_bytes((len(content).bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def _nodes(data: bytes) -> list[_Node]:
    found, at = [], 0
    while at < len(data):
        begin, tag, length = at, data[at], data[at + 1]
        at += 2
        if length & 0x80:
            width = length & 0x7F
            length = int.from_bytes(data[at : at + width], "big")
            at += width
            if width == 0 or width > 4 or length < 0x80:
                raise VerificationError("the time-stamp is not in DER form")
        if tag & 0x1F == 0x1F or at + length > len(data):
            raise VerificationError("the time-stamp is not in DER form")
        found.append(_Node(tag, data[at : at + length], data[begin : at + length]))
        at += length
    return found


def _children(node: _Node) -> list[_Node]:
    return _nodes(node.content)


def _only(data: bytes, tag: int | None = None) -> _Node:
    (node,) = _nodes(data)
    return node if tag is None else _expect(node, tag)


def _expect(node: _Node, tag: int) -> _Node:
    if node.tag != tag:
        raise VerificationError("the time-stamp is not built as RFC 3161 says")
    return node
