"""The API's certificate, signed by the machine's own authority (host/authority.py).

Every client of the API insists on TLS (git's credential helper and rendezvous have no other way), so the first start makes an authority
of this machine's own: STATE/secrets/ca.key (0600) and ca.pem, the latter copied to RUN/ca.pem for everybody to read. It is kept, so that
what people told to trust it goes on working; the server's certificate is made anew when it comes close to its end or its names change.
"""

import datetime as dt
import ipaddress
import os
import ssl

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from dynod.host.authority import AUTHORITY_DAYS, SERVER_DAYS, authority, issue, key_bytes, load, pem
from dynod.host.durable import write_durably

__all__ = ["AUTHORITY_DAYS", "RENEW_DAYS", "SERVER_DAYS", "ca_path", "renew", "server_context"]

RENEW_DAYS = 60  # before the end
_ADDRESSES = ("127.0.0.1", "::1")
_Now = dt.datetime


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
    found = load(key_path, path)
    if found is None or not _fresh(found, names, ca, now):
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = issue((ca_key, ca), key, names, "localhost", now)
        write_durably(key_path, key_bytes(key), 0o600)
        write_durably(path, pem(certificate), 0o644)
    # Under systemd RUN is not ours, and this is a link.
    write_durably(os.path.realpath(ca_path(run)), pem(ca), 0o644)
    return path, key_path


def ca_path(run: str) -> str:
    """Where everybody finds what to trust."""
    return f"{run}/ca.pem"


def server_context() -> ssl.SSLContext:
    """Return a context without a certificate yet; `load_cert_chain` gives it one, and a newer one while it serves."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
