"""The local authority and the API's certificate.

Every client of the API insists on TLS (git's credential helper and rendezvous have no other way), so the first start makes an authority
of this machine's own: STATE/secrets/ca.key (0600) and ca.pem, the latter copied to RUN/ca.pem for everybody to read. It is kept, so that
what people told to trust it goes on working; the server's certificate is made anew when it comes close to its end or its names change.
"""

import datetime as dt
import ipaddress
import os
import ssl
import uuid

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_DAYS = 3650
SERVER_DAYS = 397
RENEW_DAYS = 60  # before the end
_ADDRESSES = ("127.0.0.1", "::1")
_Now = dt.datetime


def _write(path: str, data: bytes, mode: int) -> None:
    partial = f"{path}.{uuid.uuid4().hex}"
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with open(descriptor, "wb") as file:
        os.fchmod(descriptor, mode)
        file.write(data)
        file.flush()
        os.fsync(descriptor)
    os.rename(partial, path)


def _key_bytes(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _pem(certificate: x509.Certificate) -> bytes:
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
        .not_valid_before(now - dt.timedelta(hours=1))
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


def _make_authority(now: _Now) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
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


def _load(key_path: str, path: str) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate] | None:
    try:
        with open(key_path, "rb") as file:
            key = serialization.load_pem_private_key(file.read(), None)
        with open(path, "rb") as file:
            certificate = x509.load_pem_x509_certificate(file.read())
    except FileNotFoundError:
        return None
    assert isinstance(key, ec.EllipticCurvePrivateKey), f"{key_path} holds a key that is not ours"
    return (key, certificate) if key.public_key() == certificate.public_key() else None


def authority(state: str, now: _Now) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    """Return the machine's authority, made at the first start and again when it comes to its end."""
    key_path, path = f"{state}/secrets/ca.key", f"{state}/secrets/ca.pem"
    os.makedirs(f"{state}/secrets", mode=0o700, exist_ok=True)
    found = _load(key_path, path)
    if found is None or found[1].not_valid_after_utc - now < dt.timedelta(days=SERVER_DAYS):
        found = _make_authority(now)
        _write(key_path, _key_bytes(found[0]), 0o600)
        _write(path, _pem(found[1]), 0o644)
    return found


def _names(host: str, domain: str) -> list[x509.GeneralName]:
    names = dict.fromkeys(("localhost", "*.localhost", domain, f"*.{domain}"))
    addresses = dict.fromkeys(_ADDRESSES)
    try:
        addresses[str(ipaddress.ip_address(host))] = None
    except ValueError:
        names[host] = None
    return [
        *(x509.DNSName(name) for name in names),
        *(x509.IPAddress(ipaddress.ip_address(address)) for address in addresses),
    ]


def _fresh(
    found: tuple[ec.EllipticCurvePrivateKey, x509.Certificate],
    names: list[x509.GeneralName],
    issuer: x509.Certificate,
    now: _Now,
) -> bool:
    certificate = found[1]
    has = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    try:
        certificate.verify_directly_issued_by(issuer)
    except Exception:  # noqa: BLE001  # whatever is wrong with it, it is made anew
        return False
    left = certificate.not_valid_after_utc - now
    return list(has) == names and left > dt.timedelta(days=RENEW_DAYS)


def renew(state: str, run: str, host: str, domain: str, now: _Now) -> tuple[str, str]:
    """See that authority and certificate are there and good for a while; return the paths (certificate, key)."""
    ca_key, ca = authority(state, now)
    key_path, path = f"{state}/secrets/api.key", f"{state}/secrets/api.pem"
    names = _names(host, domain)
    found = _load(key_path, path)
    if found is None or not _fresh(found, names, ca, now):
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
        issuer_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
        certificate = (
            _base(subject, ca.subject, key.public_key(), now, SERVER_DAYS)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(authority=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(issuer_id, critical=False)
            .sign(ca_key, hashes.SHA256())
        )
        _write(key_path, _key_bytes(key), 0o600)
        _write(path, _pem(certificate), 0o644)
    _write(ca_path(run), _pem(ca), 0o644)
    return path, key_path


def ca_path(run: str) -> str:
    """Where everybody finds what to trust."""
    return f"{run}/ca.pem"


def server_context() -> ssl.SSLContext:
    """Return a context without a certificate yet; `load_cert_chain` gives it one, and a newer one while it serves."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
