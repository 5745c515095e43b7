"""The machine's own authority: a key and a certificate under STATE/secrets, made at the first start, and what it signs.

It is kept, so that what people told to trust it goes on working. Who asks for which names is api/tls.py's (the API's own certificate)
and engine/certs.py's (names of apps) business.
"""

import datetime as dt
import os
import uuid
from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from dynod.host.durable import write_durably

AUTHORITY_DAYS = 3650
SERVER_DAYS = 397
AGO = dt.timedelta(days=7)  # from when on they are valid: the clock may be set back after the first start
_Now = dt.datetime
Authority = tuple[ec.EllipticCurvePrivateKey, x509.Certificate]


def key_bytes(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _base(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: _Now, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - AGO)
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _make(now: _Now) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, f"dynod local authority {uuid.uuid4().hex[:8]}")]
    )
    certificate = (
        _base(name, name, key.public_key(), now, AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(authority=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return key, certificate


def load_key(path: str) -> ec.EllipticCurvePrivateKey | None:
    """Read a key of ours; None if there is none yet."""
    try:
        with open(path, "rb") as file:
            key = serialization.load_pem_private_key(file.read(), None)
    except FileNotFoundError:
        return None
    assert isinstance(key, ec.EllipticCurvePrivateKey), f"{path} holds a key that is not ours"
    return key


def load(key_path: str, path: str) -> Authority | None:
    """Read a key and its certificate; None if one is missing or they do not belong together."""
    key = load_key(key_path)
    try:
        with open(path, "rb") as file:
            certificate = x509.load_pem_x509_certificate(file.read())
    except FileNotFoundError:
        return None
    return (key, certificate) if key is not None and key.public_key() == certificate.public_key() else None


def authority(state: str, now: _Now) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    """Return the machine's authority, made at the first start and again when it comes to its end."""
    key_path, path = f"{state}/secrets/ca.key", f"{state}/secrets/ca.pem"
    os.makedirs(f"{state}/secrets", mode=0o700, exist_ok=True)
    found = load(key_path, path)
    if found is None or found[1].not_valid_after_utc - now < dt.timedelta(days=SERVER_DAYS):
        found = _make(now)
        write_durably(key_path, key_bytes(found[0]), 0o600)
        write_durably(path, pem(found[1]), 0o644)
    return found


def issue(
    by: Authority, key: ec.EllipticCurvePrivateKey, names: Sequence[x509.GeneralName], common: str, now: _Now
) -> x509.Certificate:
    """Sign a server's certificate for these names."""
    ca_key, ca = by
    issuer_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
    # No more (RFC 5280); nobody reads it.
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common[:64])])
    return (
        _base(subject, ca.subject, key.public_key(), now, SERVER_DAYS)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(issuer_id, critical=False)
        .sign(ca_key, hashes.SHA256())
    )
