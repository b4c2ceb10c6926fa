# SPDX-License-Identifier: Apache-2.0
"""A time-stamping authority for tests: RFC 3161 answers, signed with a certificate that a root of its own issued."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from audit_log.timestamp import _children, _der, _only

NOW = datetime(2027, 1, 15, 8, tzinfo=UTC)
Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

_SHA256 = _der(0x30, _der(6, bytes.fromhex("608648016503040201")))
_EC_SHA256 = _der(0x30, _der(6, bytes.fromhex("2a8648ce3d040302")))
_RSA = _der(0x30, _der(6, bytes.fromhex("2a864886f70d010101")), b"\x05\x00")
_SIGNED_DATA = _der(6, bytes.fromhex("2a864886f70d010702"))
_TST_INFO = _der(6, bytes.fromhex("2a864886f70d0109100104"))


def _attribute(oid: str, value: bytes) -> bytes:
    return _der(0x30, _der(6, bytes.fromhex(oid)), _der(0x31, value))


@dataclass
class Authority:
    """Root, and the key and certificate that stamp; each part may be exchanged to make a wrong one."""

    root: x509.Certificate
    certificate: x509.Certificate
    key: Key
    at: str = "20270115080000Z"
    status: int = 0

    @property
    def root_pem(self) -> bytes:
        return self.root.public_bytes(serialization.Encoding.PEM)

    def answer(self, request: bytes) -> bytes:
        """A TimeStampResp for a TimeStampReq."""
        _, imprint, nonce, _ = _children(_only(request))
        if self.status:
            return _der(0x30, _der(0x30, _der(2, bytes([self.status]))))
        version, policy, serial = _der(2, b"\x01"), _der(6, b"\x2a\x03\x04"), _der(2, b"\x07")
        info = _der(0x30, version, policy, imprint.raw, serial, _der(0x18, self.at.encode()), nonce.raw)
        der = self.certificate.public_bytes(serialization.Encoding.DER)
        named = _der(0x30, _der(0x30, _der(0x30, _der(4, sha256(der).digest()))))
        attributes = sorted(
            (
                _attribute("2a864886f70d010903", _TST_INFO),
                _attribute("2a864886f70d010904", _der(4, sha256(info).digest())),
                _attribute("2a864886f70d010910022f", named),
            ),
            key=lambda one: (len(one), one),
        )
        name = self.certificate.issuer.public_bytes()
        number = self.certificate.serial_number
        sid = _der(0x30, name, _der(2, number.to_bytes(number.bit_length() // 8 + 1, "big")))
        algorithm = _EC_SHA256 if isinstance(self.key, ec.EllipticCurvePrivateKey) else _RSA
        signature = self._sign(_der(0x31, *attributes))
        signer = _der(0x30, _der(2, b"\x01"), sid, _SHA256, _der(0xA0, *attributes), algorithm, _der(4, signature))
        signed = _der(
            0x30,
            _der(2, b"\x03"),
            _der(0x31, _SHA256),
            _der(0x30, _TST_INFO, _der(0xA0, _der(4, info))),
            _der(0xA0, der),
            _der(0x31, signer),
        )
        return _der(0x30, _der(0x30, _der(2, b"\x00")), _der(0x30, _SIGNED_DATA, _der(0xA0, signed)))

    def post(self, url: str, body: bytes) -> tuple[int, bytes]:
        """As a client of `timestamping` calls it."""
        return 200, self.answer(body)

    def _sign(self, data: bytes) -> bytes:
        if isinstance(self.key, rsa.RSAPrivateKey):
            return self.key.sign(data, padding.PKCS1v15(), hashes.SHA256())
        return self.key.sign(data, ec.ECDSA(hashes.SHA256()))


def certificate(
    subject: str,
    key: Key,
    issuer: str,
    issuer_key: Key,
    *,
    ca: bool = False,
    usage: tuple[x509.ObjectIdentifier, ...] = (ExtendedKeyUsageOID.TIME_STAMPING,),
    critical: bool = True,
    days: int = 365,
) -> x509.Certificate:
    """A certificate of a root, or of who stamps; valid for ``days`` before and after `NOW`."""
    name = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)]) for text in (subject, issuer)]
    made = x509.CertificateBuilder(name[1], name[0], key.public_key(), x509.random_serial_number())
    made = made.not_valid_before(NOW - timedelta(days)).not_valid_after(NOW + timedelta(days))
    made = made.add_extension(x509.BasicConstraints(ca, None), True)
    if not ca:
        made = made.add_extension(x509.ExtendedKeyUsage(usage), critical)
    made = made.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
    made = made.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), False)
    bits = x509.KeyUsage(not ca, False, False, False, False, ca, ca, False, False)
    return made.add_extension(bits, True).sign(issuer_key, hashes.SHA256())


def make_authority(key: Key | None = None) -> Authority:
    """A root of its own and a certificate for stamping."""
    root_key = ec.generate_private_key(ec.SECP256R1())
    key = key or ec.generate_private_key(ec.SECP256R1())
    root = certificate("Root", root_key, "Root", root_key, ca=True)
    return Authority(root, certificate("Stamps", key, "Root", root_key), key)
