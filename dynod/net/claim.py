"""Who may use a block: a claim that dies with its holder, beside kernel state that does not.

A block is in use while its helper lives (it is bound to an abstract unix socket named after the block) or while anything is
wired in it (its interfaces and their routes are there for all to see). Both are facts of the kernel and, like the addresses
themselves, of one network namespace; so `kill -9` cannot leave a stale claim, and an instance that comes back after it finds
its block untouched as long as one of its dynos is wired. Rejected: lock files (machine-wide, but the network namespace is
what counts; and they outlive their instance), and holding the block by a route alone (nobody could tell whose it is).
"""

import fcntl
import os
import socket
from typing import Self

from dynod.model.refused import Refusal, Refused
from dynod.net.addresses import Block


class Claim:
    """A held block; `release` or the end of the process lets it go."""

    def __init__(self, block: Block, held: socket.socket) -> None:
        self.block = block
        self._held = held

    @classmethod
    def take(cls, block: Block) -> Self | None:
        """Claim a block, or return None when a living process holds it."""
        held = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        try:
            held.bind(f"\0dynod-net-block-{block.number}")
        except OSError:
            held.close()
            return None
        return cls(block, held)

    def release(self) -> None:
        self._held.close()


def is_claimed(block: Block) -> bool:
    """Say whether a living helper holds this block."""
    claim = Claim.take(block)
    if claim is not None:
        claim.release()
    return claim is None


def lock_directory(directory: str) -> int:
    """Make sure that one helper at most works in this run directory; return the descriptor that holds it."""
    lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise Refused(
            Refusal.CONFLICT, f"cannot start: another dynod net works in {directory}; stop it or give --run"
        ) from None
    return lock
