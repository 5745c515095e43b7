"""Signed requests as RFC 7515 and 7638 have them."""

import base64
import json

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from dynod.wire import jose

# RFC 7515 A.3's key.
D = "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"
X, Y = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"


def raw(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


KEY = ec.derive_private_key(int.from_bytes(raw(D)), ec.SECP256R1())


def test_a_key_is_written_as_the_rfc_writes_it():
    assert jose.jwk(KEY) == {"crv": "P-256", "kty": "EC", "x": X, "y": Y}
    assert jose.thumbprint(KEY) == "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U"


def test_a_request_is_signed_over_what_it_says():
    for payload, account in (({"a": 1}, None), (None, "https://x/acct/1")):
        made = jose.signed(KEY, "https://x/y", "n", payload, account)
        protected = json.loads(raw(made["protected"]))
        who = {"jwk": dict(jose.jwk(KEY))} if account is None else {"kid": account}
        assert protected == {"alg": "ES256", "nonce": "n", "url": "https://x/y", **who}
        assert made["payload"] == ("" if payload is None else jose.b64(b'{"a":1}'))
        signature = raw(made["signature"])
        assert len(signature) == 64
        der = encode_dss_signature(int.from_bytes(signature[:32]), int.from_bytes(signature[32:]))
        text = f"{made['protected']}.{made['payload']}".encode()
        KEY.public_key().verify(der, text, ec.ECDSA(hashes.SHA256()))
