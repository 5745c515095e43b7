"""Keys of TLS session tickets: the same at every worker and at the next version of the router, another every twelve hours.

A chain of hashes makes them: whoever holds a link can make the next ones and none before, so that all workers step on by the clock without
a word to each other. Two keys before the newest still open tickets, which clients then get anew. OpenSSL asks for keys by a callback
(SSL_CTX_set_tlsext_ticket_key_evp_cb(3)) that Python's ssl does not know, hence ctypes; where that does not work, OpenSSL's own key
serves, which is as old as the master and goes with it.
"""

import ctypes
import hashlib
import hmac
import logging
import ssl
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from router import hands

PERIOD = 12 * 3600
BEFORE = 2
_NAME, _SECRET = 16, 32

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Key:
    """`name` is in the ticket, in the clear."""

    name: bytes
    cipher: bytes
    mac: bytes


def _made(link: bytes, what: bytes, size: int) -> bytes:
    return hmac.new(link, what, hashlib.sha256).digest()[:size]


class Chain:
    """`link` is that of `epoch`, the oldest that still opens tickets."""

    def __init__(self, link: bytes, epoch: int) -> None:
        self._link = link
        self._epoch = epoch
        self._keys: dict[bytes, Key] = {}
        self._newest = epoch - 1
        self._seal = Key(b"", b"", b"")

    @classmethod
    def begun(cls, secret: bytes, now: float) -> "Chain":
        """Begin one with a secret of chance."""
        return cls(secret, int(now // PERIOD) - BEFORE)

    @classmethod
    def read(cls, text: str) -> "Chain":
        """Go on with what `written` wrote."""
        epoch, _, link = text.partition(":")
        return cls(bytes.fromhex(link), int(epoch))

    def written(self, now: float) -> str:
        """Write it for the next program, without what lies further back than it needs."""
        self._step(now)
        return f"{self._epoch}:{self._link.hex()}"

    def newest(self, now: float) -> Key:
        """Return what to seal with."""
        self._step(now)
        return self._seal

    @property
    def until(self) -> int:
        """When the newest is no longer."""
        return (self._newest + 1) * PERIOD

    def by_name(self, name: bytes, now: float) -> Key | None:
        """Return what opens a ticket; None if nothing does any more."""
        self._step(now)
        return self._keys.get(name)

    def _step(self, now: float) -> None:
        epoch = int(now // PERIOD)
        if epoch <= self._newest:
            return  # the clock may have been set back: what was begun goes on
        while self._epoch < epoch - BEFORE:
            self._link = _made(self._link, b"next", _SECRET)
            self._epoch += 1
        link, keys = self._link, []
        for _ in range(self._epoch, epoch + 1):
            keys.append(
                Key(
                    _made(link, b"name", _NAME), _made(link, b"cipher", _SECRET), _made(link, b"mac", _SECRET)
                )
            )
            link = _made(link, b"next", _SECRET)
        self._keys = {key.name: key for key in keys}
        self._newest, self._seal = epoch, keys[-1]


# -- OpenSSL -----------------------------------------------------------------------------------------------------------

_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int,
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_int,
)
_GET_MIN_PROTO_VERSION = 130
_FAILED, _NONE, _GOOD, _RENEW = -1, 0, 1, 2


class _Param(ctypes.Structure):
    _fields_ = (
        ("key", ctypes.c_char_p),
        ("data_type", ctypes.c_uint),
        ("data", ctypes.c_void_p),
        ("data_size", ctypes.c_size_t),
        ("return_size", ctypes.c_size_t),
    )


_UTF8_STRING, _OCTET_STRING = 4, 5
_kept: list[object] = []  # what OpenSSL calls must not be collected


def _pointer(context: ssl.SSLContext, library: ctypes.CDLL) -> int | None:
    """Find the SSL_CTX behind Python's object, which begins with it; None if what is there does not behave like ours."""
    if sys.implementation.name != "cpython" or not (3, 11) <= sys.version_info[:2] <= (3, 13):
        return None
    found = ctypes.c_void_p.from_address(id(context) + object.__basicsize__).value
    library.SSL_CTX_ctrl.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_long, ctypes.c_void_p)
    library.SSL_CTX_ctrl.restype = ctypes.c_long
    if not found or library.SSL_CTX_ctrl(found, _GET_MIN_PROTO_VERSION, 0, None) != context.minimum_version:
        return None
    return found


class Tickets:
    """Has contexts seal and open tickets by a chain."""

    def __init__(self, chain: Chain, now: Callable[[], float] = time.time) -> None:
        try:
            self._library = ctypes.CDLL("libssl.so.3")
            crypto = ctypes.PyDLL("libcrypto.so.3")
            self._install = self._library.SSL_CTX_set_tlsext_ticket_key_evp_cb
            self._install.argtypes = (ctypes.c_void_p, ctypes.c_void_p)
            quick = now is time.time and hands.claim()
            callback = _CALLBACK(_answer(chain, crypto, now, lays=quick))
            _kept.append(callback)
            self._callback = ctypes.cast(callback, ctypes.c_void_p).value
            if quick and self._callback:
                self._callback = hands.sealer(self._callback)
        except (OSError, AttributeError, MemoryError):
            self._callback = None  # other libraries, or no memory that may be called into

    def key(self, context: ssl.SSLContext) -> bool:
        """Have a context do so; False where this OpenSSL or this Python is another than known."""
        pointer = None if self._callback is None else _pointer(context, self._library)
        if pointer is None:
            _log.warning(
                "TLS tickets are good at this router only, and its key is not changed: OpenSSL or Python are new to us"
            )
            return False
        return bool(self._install(pointer, self._callback))


class _Ready:
    """A key as OpenSSL takes it, laid out once: a ticket is made at each handshake."""

    __slots__ = ("_kept", "cipher", "name", "parameters")

    def __init__(self, key: Key) -> None:
        name, cipher, mac, digest = (
            ctypes.create_string_buffer(word, len(word))
            for word in (key.name, key.cipher, key.mac, b"SHA256")
        )
        parameters = (_Param * 3)(
            _Param(b"key", _OCTET_STRING, ctypes.addressof(mac), len(key.mac), 0),
            _Param(b"digest", _UTF8_STRING, ctypes.addressof(digest), 6, 0),
            _Param(),
        )
        self._kept = (name, cipher, mac, digest, parameters)
        self.name, self.cipher = ctypes.addressof(name), ctypes.addressof(cipher)
        self.parameters = ctypes.addressof(parameters)


def _answer(chain: Chain, crypto: ctypes.CDLL, now: Callable[[], float], *, lays: bool) -> Callable[..., int]:
    void, number = ctypes.c_void_p, ctypes.c_int
    crypto.EVP_CIPHER_fetch.restype = void
    crypto.EVP_CIPHER_fetch.argtypes = (void, ctypes.c_char_p, ctypes.c_char_p)
    cipher = crypto.EVP_CIPHER_fetch(None, b"AES-256-CBC", None)  # not looked up at each ticket
    # Functions of their own kind: quicker to call than the library's attributes, and none waits, so that the lock is kept.
    init = ctypes.PYFUNCTYPE(number, void, void, void, void, void)
    encrypt, decrypt = init(("EVP_EncryptInit_ex", crypto)), init(("EVP_DecryptInit_ex", crypto))
    authenticate = ctypes.PYFUNCTYPE(number, void, void)(("EVP_MAC_CTX_set_params", crypto))
    chance = ctypes.PYFUNCTYPE(number, void, number)(("RAND_bytes", crypto))
    known: dict[Key, _Ready] = {}
    sealing_with: list[_Ready] = []  # kept for as long as it is used without us

    def ready(key: Key) -> _Ready:
        if len(known) > BEFORE:
            known.clear()
        known[key] = made = _Ready(key)
        return made

    def answer(_: int, name: int, iv: int, cipher_context: int, mac_context: int, sealing: int) -> int:
        if sealing:
            key = chain.newest(now())
            laid = known.get(key) or ready(key)
            ctypes.memmove(name, laid.name, _NAME)
            good = (
                chance(iv, 16) == 1
                and authenticate(mac_context, laid.parameters) == 1
                and encrypt(cipher_context, cipher, None, laid.cipher, iv) == 1
            )
            if good and lays:
                hands.lay(key.name, laid.parameters, cipher, laid.cipher, chain.until)
                sealing_with[:] = [laid]
            return _GOOD if good else _FAILED
        found = chain.by_name(ctypes.string_at(name, _NAME), now())
        if found is None:
            return _NONE
        laid = known.get(found) or ready(found)
        if authenticate(mac_context, laid.parameters) != 1:
            return _FAILED
        if decrypt(cipher_context, cipher, None, laid.cipher, iv) != 1:
            return _FAILED
        return _GOOD if found is chain.newest(now()) else _RENEW

    return answer
