"""The key that seals what must not lie on the disk in the clear: AES-256-GCM with STATE/secrets/key.

What is sealed is bound to what it is `about`, so that nobody can move a sealed value to another place and have it opened
there. A nonce is 96 random bits: good for 2^32 values under one key, which no ledger reaches.
Left out: deciding what is secret (model/entry.py), and backing the key up, without which the ledger is lost.
"""

import os
import stat

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from dynod.store.protocol import Unreadable

_KEY_BYTES = 32
_NONCE_BYTES = 12


class WrongKey(Exception):
    """The sealed bytes were made with another key, for another place, or were changed since."""


class Key:
    def __init__(self, raw: bytes) -> None:
        self._cipher = AESGCM(raw)

    def seal(self, plain: bytes, about: str) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, plain, about.encode())

    def open(self, sealed: bytes, about: str) -> bytes:
        """Return what was sealed `about` the same thing; raise WrongKey."""
        try:
            return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], about.encode())
        except (InvalidTag, ValueError) as error:
            raise WrongKey(f"cannot open what is sealed about {about}") from error


def key_path(state: str) -> str:
    return f"{state}/secrets/key"


def load_key(state: str) -> Key | None:
    """Read the key; None if there is none yet; raise Unreadable if it is damaged or open to others."""
    path = key_path(state)
    try:
        with open(path, encoding="ascii") as file:
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                raise Unreadable(f"cannot use {path}: others may read it; say chmod 600 {path}")
            raw = bytes.fromhex(file.read())
    except FileNotFoundError:
        return None
    except ValueError:
        raw = b""
    if len(raw) != _KEY_BYTES:
        raise Unreadable(
            f"cannot use {path}: it does not hold {_KEY_BYTES} bytes in hex; put back the one you had"
        )
    return Key(raw)


def make_key(state: str) -> Key:
    """Make a key; it is on the disk, whole, before anything can be sealed with it."""
    path = key_path(state)
    folder = os.path.dirname(path)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    raw = os.urandom(_KEY_BYTES)
    fd = os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(fd, "w", encoding="ascii") as file:
        os.fchmod(fd, 0o600)  # also where a killed start left the file behind with another mode
        file.write(raw.hex() + "\n")
        file.flush()
        os.fsync(fd)
    os.rename(f"{path}.new", path)
    for each in (folder, state):
        sync_folder(each)
    return Key(raw)


def sync_folder(path: str) -> None:
    """Bring a directory's names to the disk."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
