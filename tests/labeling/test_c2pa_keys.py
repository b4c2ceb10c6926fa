# SPDX-License-Identifier: Apache-2.0
"""The own certificate chain has the profile that verifiers ask for."""

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from labeling.c2pa_keys import CLAIM_SIGNING, file_signer, new_chain
from labeling.errors import LabelError

NOW = 1_790_000_000.0
CHAIN = new_chain("示例科技有限公司", 365, lambda: NOW)


def test_the_chain_leads_from_leaf_to_root() -> None:
    """Leaf and intermediate in the chain, the root apart, each issued by the next."""
    leaf, middle = x509.load_pem_x509_certificates(CHAIN.chain_pem)
    root = x509.load_pem_x509_certificate(CHAIN.root_pem)

    leaf.verify_directly_issued_by(middle)
    middle.verify_directly_issued_by(root)
    root.verify_directly_issued_by(root)


def test_the_leaf_has_the_profile_of_a_claim_signer() -> None:
    """C2PA 2.4 section 14.5, and what was found by trial to be asked for."""
    leaf = x509.load_pem_x509_certificates(CHAIN.chain_pem)[0]
    usage = leaf.extensions.get_extension_for_class(x509.KeyUsage)
    extended = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value

    assert usage.critical and usage.value.digital_signature and not usage.value.key_cert_sign
    assert CLAIM_SIGNING in extended and x509.ExtendedKeyUsageOID.EMAIL_PROTECTION in extended
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
    assert leaf.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    assert leaf.subject.get_attributes_for_oid(x509.NameOID.ORGANIZATION_NAME)[0].value == "示例科技有限公司"
    assert leaf.not_valid_after_utc.timestamp() == NOW + 365 * 86_400


def test_the_signing_function_gives_raw_signatures_of_its_key() -> None:
    """64 bytes that verify under the leaf."""
    leaf = x509.load_pem_x509_certificates(CHAIN.chain_pem)[0]
    raw = file_signer(CHAIN.key_pem)(b"content")
    public = leaf.public_key()

    assert len(raw) == 64
    assert isinstance(public, ec.EllipticCurvePublicKey)
    der = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    public.verify(der, b"content", ec.ECDSA(hashes.SHA256()))


@pytest.mark.parametrize(("organisation", "days"), [("", 9), (" ", 9), ("x" * 65, 9), ("x", 0), ("x", 9999)])
def test_a_chain_that_makes_no_sense_is_refused(organisation: str, days: int) -> None:
    """With what is allowed."""
    with pytest.raises(LabelError):
        new_chain(organisation, days, lambda: NOW)


def test_a_key_of_another_kind_is_refused() -> None:
    """The wrong key would give signatures that no one can verify."""
    other = ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    for pem, says in ((other, "P-256"), (b"no key", "cannot be read")):
        with pytest.raises(LabelError, match=says):
            file_signer(pem)
