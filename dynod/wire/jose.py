"""The little of JOSE that ACME needs (RFC 7515, 7638; ES256 alone): signed requests, and the print of a key. Pure.

certbot's `acme` and `josepy` were rejected: they bring requests, pyOpenSSL and threads into a program that has one loop, for what
is forty lines over cryptography.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

_SIZE = 32  # bytes of a coordinate of P-256


def b64(data: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _text(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()


def jwk(key: ec.EllipticCurvePrivateKey) -> Mapping[str, str]:
    """Write the public half of a P-256 key."""
    numbers = key.public_key().public_numbers()
    x, y = (b64(each.to_bytes(_SIZE, "big")) for each in (numbers.x, numbers.y))
    return {"crv": "P-256", "kty": "EC", "x": x, "y": y}


def thumbprint(key: ec.EllipticCurvePrivateKey) -> str:
    """RFC 7638: what names a key in a key authorization."""
    return b64(hashlib.sha256(_text(jwk(key))).digest())


def signed(
    key: ec.EllipticCurvePrivateKey, url: str, nonce: str, payload: Any, account: str | None
) -> Mapping[str, str]:
    """Sign a request (RFC 8555 6.2). `payload` None: POST-as-GET; `account`: its URL, None while there is none."""
    who = {"jwk": jwk(key)} if account is None else {"kid": account}
    protected = b64(_text({"alg": "ES256", "nonce": nonce, "url": url, **who}))
    body = "" if payload is None else b64(_text(payload))
    r, s = decode_dss_signature(key.sign(f"{protected}.{body}".encode(), ec.ECDSA(hashes.SHA256())))
    signature = b64(r.to_bytes(_SIZE, "big") + s.to_bytes(_SIZE, "big"))
    return {"protected": protected, "payload": body, "signature": signature}
