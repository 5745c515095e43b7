"""Certificates to test with, signed on the spot: an authority, one between, and servers' for any names."""

import datetime as dt

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

NOW = dt.datetime.now(dt.UTC)
DAY = dt.timedelta(days=1)


def pem(certificate):
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def key_pem(key, password=None):
    sealed = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, sealed).decode()


def named(common):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def signed(common, key, by=None, *, names=(), ca=False, start=NOW - DAY, end=NOW + 90 * DAY):
    """A certificate for a key; `by`: (certificate, key) of who signs it, itself if nobody."""
    issuer, issuer_key = (named(common), key) if by is None else (by[0].subject, by[1])
    builder = (
        x509.CertificateBuilder()
        .subject_name(named(common))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False
        )
    )
    if names:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False
        )
    return builder.sign(issuer_key, hashes.SHA256())


class Signer:
    """A root, and one between it and servers."""

    def __init__(self):
        self.root_key, self.key = (
            ec.generate_private_key(ec.SECP256R1()),
            ec.generate_private_key(ec.SECP256R1()),
        )
        self.root = signed("Test Root", self.root_key, ca=True)
        self.between = signed("Test Between", self.key, (self.root, self.root_key), ca=True)

    def server(self, *names, key=None, **more):
        """Return (chain, key) as PEM texts."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        own = signed(names[0].replace("*", "any"), key, (self.between, self.key), names=names, **more)
        return pem(own) + pem(self.between), key_pem(key)
