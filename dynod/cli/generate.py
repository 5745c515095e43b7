"""`certs:generate`: a key and what is asked of an authority with it, or a certificate that signed itself. Made here; the key stays here."""

import datetime as dt
import os
from typing import TYPE_CHECKING

from dynod.cli.session import Session
from dynod.model.domain import hostname
from dynod.model.refused import Refusal, Refused

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

DAYS = 365  # that a self-signed one lives
SIZES = ("2048", "3072", "4096")
_FIELDS = {
    "C": "COUNTRY_NAME",
    "ST": "STATE_OR_PROVINCE_NAME",
    "L": "LOCALITY_NAME",
    "O": "ORGANIZATION_NAME",
    "OU": "ORGANIZATIONAL_UNIT_NAME",
    "CN": "COMMON_NAME",
}


def generate(session: Session) -> None:
    """As `heroku certs:generate`, which asks for a subject where none is given; here it is the domain then."""
    given = session.given
    domain = hostname(given.words[0])
    size = given.text("keysize") or SIZES[0]
    if size not in SIZES:
        raise Refused(Refusal.INVALID, f"cannot make a key of {size} bits: say {', '.join(SIZES)}")
    shown = session.app_call("sni-endpoints.list")
    verb = "update" if any(domain in row["ssl_cert"]["cert_domains"] for row in shown) else "add"
    own = given.on("selfsigned")
    result = f"{domain}.crt" if own else f"{domain}.csr"
    for path in (f"{domain}.key", result):
        if os.path.lexists(path):
            raise Refused(Refusal.INVALID, f"cannot write {path}: it is there already")
    key_pem, made = _made(domain, int(size), given.text("subject") or f"/CN={domain}", own=own)
    _write(f"{domain}.key", key_pem, 0o600)
    _write(result, made, 0o644)
    if own:
        print("Your key and self-signed certificate have been generated.\nNext, run:")
        print(f"$ dyno certs:{verb} {result} {domain}.key")
        return
    print("Your key and certificate signing request have been generated.")
    print(f"Submit the CSR in '{result}' to your preferred certificate authority.")
    print(f"When you've received your certificate, run:\n$ dyno certs:{verb} CERTFILE {domain}.key")


def _write(path: str, data: bytes, mode: int) -> None:
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(data)
    except OSError as error:
        raise Refused(Refusal.INVALID, f"cannot write {path}: {error.strerror}") from error


def _made(domain: str, size: int, subject: str, *, own: bool) -> tuple[bytes, bytes]:
    """Return the key and the request, or the certificate, as PEM. What signs is imported by this verb alone."""
    from cryptography import x509  # noqa: PLC0415
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import rsa  # noqa: PLC0415

    name, names = _name(subject), x509.SubjectAlternativeName([x509.DNSName(domain)])
    key = rsa.generate_private_key(65537, size)
    pem = serialization.Encoding.PEM
    key_pem = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    if own:
        return key_pem, _self_signed(key, name, names).public_bytes(pem)
    wish = x509.CertificateSigningRequestBuilder(name).add_extension(names, critical=False)
    return key_pem, wish.sign(key, hashes.SHA256()).public_bytes(pem)


def _self_signed(
    key: "RSAPrivateKey", name: "x509.Name", names: "x509.SubjectAlternativeName"
) -> "x509.Certificate":
    from cryptography import x509  # noqa: PLC0415
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415

    now = dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder(
        name, name, key.public_key(), x509.random_serial_number(), now, now + dt.timedelta(days=DAYS)
    )
    return builder.add_extension(names, critical=False).sign(key, hashes.SHA256())


def _name(subject: str) -> "x509.Name":
    from cryptography import x509  # noqa: PLC0415

    parts = []
    for part in subject.removeprefix("/").split("/"):
        field, _, value = part.partition("=")
        if field not in _FIELDS or not value:
            raise Refused(
                Refusal.INVALID,
                f"cannot use the subject {subject!r}: it must be like /C=DE/O=Mine/CN=www.example.com",
            )
        try:
            parts.append(x509.NameAttribute(getattr(x509.NameOID, _FIELDS[field]), value))
        except ValueError as error:
            raise Refused(Refusal.INVALID, f"cannot use the subject {subject!r}: {error}") from error
    return x509.Name(parts)
