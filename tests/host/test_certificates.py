"""What people bring as certificate and key: taken whole, or refused with a word that says why."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from x509_samples import DAY, NOW, Signer, key_pem, pem, signed

from dynod.host import certificates
from dynod.model.refused import Refused

AT = NOW.timestamp()
SIGNER = Signer()


def test_a_chain_and_its_key_are_read():
    chain, key = SIGNER.server("www.Example.com", "*.example.com")
    found = certificates.read("junk before\n" + chain, key, AT)
    assert (found.chain, found.key) == (chain, key)
    assert found.domains == ("www.example.com", "*.example.com")
    assert (found.starts_at, found.expires_at) == (int(AT - 86_400), int(AT + 90 * 86_400))
    assert (found.issuer, found.subject, found.self_signed) == (
        "/CN=Test Between",
        "/CN=www.Example.com",
        False,
    )


def test_a_certificate_that_signed_itself_is_for_its_common_name():
    key = rsa.generate_private_key(65537, 2048)
    found = certificates.read(pem(signed("a.example.com", key)), key_pem(key), AT)
    assert (found.domains, found.self_signed) == (("a.example.com",), True)


CHAIN, KEY = SIGNER.server("a.example.com")
OWN = CHAIN[: CHAIN.index("-----END CERTIFICATE-----") + 26]
BETWEEN = CHAIN[len(OWN) :]
OTHER = key_pem(ec.generate_private_key(ec.SECP256R1()))
SMALL = rsa.generate_private_key(65537, 1024)
ODD = ed25519.Ed25519PrivateKey.generate()
WEAK = signed("Weak Root", SMALL, ca=True)
KEY_2048 = rsa.generate_private_key(65537, 2048)
BAD = [
    ("", KEY, "it is not PEM"),
    ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", KEY, "it is not PEM"),
    (KEY, KEY, "it is not PEM"),
    (CHAIN, "", "its key is not PEM"),
    (CHAIN, CHAIN, "its key is not PEM"),
    (CHAIN, "\udcff", "its key is not PEM"),
    (CHAIN, key_pem(ec.generate_private_key(ec.SECP256R1()), b"secret"), "protected by a passphrase"),
    (CHAIN, OTHER, "the key does not belong to it"),
    (BETWEEN + OWN, KEY, "the key belongs to the certificate that is number 2 in the chain; put it first"),
    (OWN + pem(SIGNER.root), KEY, r"number 1 in the chain \(/CN=a.example.com\) was not issued by number 2 \(/CN=Test Root\)"),
    (CHAIN + BETWEEN, KEY, "number 2 in the chain"),
    (pem(signed("a.example.com", SMALL)), key_pem(SMALL), "its RSA key has 1024 bits; 2048 are the least"),
    (CHAIN, key_pem(ODD), "neither RSA nor elliptic curve"),
    (*SIGNER.server("a.example.com", key=ec.generate_private_key(ec.SECP256K1())), "its key is on the curve secp256k1"),
    (*SIGNER.server("a.example.com", key=ec.generate_private_key(ec.BrainpoolP256R1())), "its key is on the curve brainpoolP256r1"),
    (pem(signed("a.example.com", KEY_2048, (WEAK, SMALL))) + pem(WEAK), key_pem(KEY_2048), "no TLS server could show it: ca key too small"),
    ("x" * 300_000, KEY, "longer than"),
    (*SIGNER.server("a.example.com", end=NOW - DAY / 2), "it expired on"),
    (*SIGNER.server("a.example.com", start=NOW + DAY), "it is not valid before"),
]  # fmt: skip


@pytest.mark.parametrize(("chain", "key", "why"), BAD)
def test_what_cannot_be_used_is_refused_with_the_reason(chain, key, why):
    with pytest.raises(Refused, match=f"cannot use this certificate: .*{why}"):
        certificates.read(chain, key, AT)


@pytest.mark.parametrize("curve", [ec.SECP256R1, ec.SECP384R1, ec.SECP521R1])
def test_the_curves_that_browsers_take_are_taken(curve):
    key = ec.generate_private_key(curve())
    assert certificates.read(*SIGNER.server("a.example.com", key=key), AT).key == key_pem(key)


def test_the_root_may_be_part_of_the_chain():
    assert certificates.read(CHAIN + pem(SIGNER.root), KEY, AT).domains == ("a.example.com",)
