"""Certificates that people bring, and those that we ask for: PEM texts into `Certificate` values, and what is wrong with them in words.

The one place that looks into X.509, besides the machine's own authority (authority.py).
"""

import datetime as dt
import itertools
import os
import ssl
from collections.abc import Sequence

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.x509.oid import NameOID

from dynod.model.domain import Certificate
from dynod.model.refused import Refusal, Refused

_LONGEST = 256 * 1024  # bytes of a chain or a key
_RSA_BITS = 2048
_CURVES = frozenset({"secp256r1", "secp384r1", "secp521r1"})  # TLS 1.3 has signatures of no others
_WHAT = "cannot use this certificate: "


def _refuse(why: str) -> Refused:
    return Refused(Refusal.INVALID, _WHAT + why)


def _chain(text: str) -> Sequence[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(text.encode())
    except (ValueError, UnicodeEncodeError) as error:
        raise _refuse(
            "it is not PEM; the file must hold -----BEGIN CERTIFICATE----- blocks, its own first, then the intermediates"
        ) from error


def _key(text: str) -> rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey:
    try:
        key: PrivateKeyTypes = serialization.load_pem_private_key(text.encode(), None)
    except TypeError as error:
        raise _refuse("its key is protected by a passphrase; take it off with openssl pkey") from error
    except (ValueError, UnsupportedAlgorithm, UnicodeEncodeError) as error:
        raise _refuse(
            "its key is not PEM; the file must hold one -----BEGIN PRIVATE KEY----- block"
        ) from error
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise _refuse("its key is neither RSA nor elliptic curve")
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name not in _CURVES:
        raise _refuse(f"its key is on the curve {key.curve.name}; browsers take P-256, P-384 and P-521")
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size < _RSA_BITS:
        raise _refuse(f"its RSA key has {key.key_size} bits; {_RSA_BITS} are the least")
    return key


def _name(name: x509.Name) -> str:
    return "".join(f"/{part.rfc4514_attribute_name}={part.value!s}" for part in name)


def _domains(own: x509.Certificate) -> tuple[str, ...]:
    """Return the names it is for: the subject's common name only where there are no others."""
    try:
        san = own.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        found = [name.lower() for name in san.get_values_for_type(x509.DNSName)]
    except (x509.ExtensionNotFound, ValueError):
        found = [str(part.value).lower() for part in own.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if not found:
        raise _refuse("it is for no host name")
    return tuple(dict.fromkeys(found))


def _issued(below: x509.Certificate, above: x509.Certificate) -> bool:
    try:
        below.verify_directly_issued_by(above)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _check_key(
    chain: Sequence[x509.Certificate], key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
) -> None:
    public = key.public_key()
    for number, each in enumerate(chain, 1):
        if each.public_key() == public:
            if number > 1:
                raise _refuse(
                    f"the key belongs to the certificate that is number {number} in the chain; put it first"
                )
            return
    raise _refuse("the key does not belong to it")


def _check_shown(chain: str, key: str) -> None:
    """Have OpenSSL take it, as routers will (router/tls.py): what is too weak for it further up in the chain, only it can say."""
    descriptor = os.memfd_create("certificate", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, (chain + key).encode())
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(f"/proc/self/fd/{descriptor}")
    except ssl.SSLError as error:
        why = (error.reason or str(error)).lower().replace("_", " ")
        raise _refuse(f"no TLS server could show it: {why}") from error
    finally:
        os.close(descriptor)


def read(chain_pem: str, key_pem: str, now: float) -> Certificate:
    """Read what was brought, checked piece against piece; raise Refused(INVALID)."""
    if max(len(chain_pem), len(key_pem)) > _LONGEST:
        raise _refuse(f"it is longer than {_LONGEST} bytes")
    chain, key = _chain(chain_pem), _key(key_pem)
    own = chain[0]
    _check_key(chain, key)
    for number, (below, above) in enumerate(itertools.pairwise(chain), 1):
        if not _issued(below, above):
            raise _refuse(
                f"number {number} in the chain ({_name(below.subject)}) was not issued by number {number + 1} "
                f"({_name(above.subject)}); put its own first, then each issuer"
            )
    starts, expires = own.not_valid_before_utc.timestamp(), own.not_valid_after_utc.timestamp()
    if expires <= now:
        raise _refuse(f"it expired on {own.not_valid_after_utc:%Y-%m-%d %H:%M} UTC")
    if starts > now:
        raise _refuse(f"it is not valid before {own.not_valid_before_utc:%Y-%m-%d %H:%M} UTC")
    names = _domains(own)
    shown = "".join(each.public_bytes(serialization.Encoding.PEM).decode() for each in chain)
    secret = key_text(key)
    _check_shown(shown, secret)
    return Certificate(
        chain=shown,
        key=secret,
        domains=names,
        starts_at=starts,
        expires_at=expires,
        issuer=_name(own.issuer),
        subject=_name(own.subject),
        self_signed=own.issuer == own.subject,
    )


def new_key() -> ec.EllipticCurvePrivateKey:
    """Make a key for a certificate that is to be asked for."""
    return ec.generate_private_key(ec.SECP256R1())


def key_text(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    """Write a key as PEM."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def request(key: ec.EllipticCurvePrivateKey, name: str) -> bytes:
    """Make the signing request for one name, as DER."""
    builder = x509.CertificateSigningRequestBuilder(
        subject_name=x509.Name([]),
        extensions=[
            x509.Extension(
                x509.oid.ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
                critical=False,
                value=x509.SubjectAlternativeName([x509.DNSName(name)]),
            )
        ],
    )
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def moment(at: float) -> dt.datetime:
    """Epoch seconds as X.509 takes them."""
    return dt.datetime.fromtimestamp(at, dt.UTC)
