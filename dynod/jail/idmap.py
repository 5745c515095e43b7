"""User namespaces that map the owner of a slug's files to a dyno's uid (and a dead dyno's to the control plane's, which looks at what
it left), for idmapped mounts: made ahead, kept per uid.

A mapping can only be written while a process lives in the namespace, so a few holders wait, each in a user namespace of
its own without a mapping. To use one: write its maps, open the namespace, let the holder go; the descriptor is kept.
Nobody ever enters these namespaces: they are tables for the kernel, and the dyno itself stays in the machine's own.
"""

import contextlib
import os
import signal
import socket
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import NoReturn

import prctl

from dynod.jail import packets
from dynod.jail.enter import default_signals, only
from dynod.jail.init import wait
from dynod.jail.syscalls import CLONE_NEWUSER, unshare

KEPT = 512
SPARE = 2


def hold(door: socket.socket, program: int | None) -> NoReturn:
    """Be a holder: live in a new user namespace until the host hangs up. Runs in a fresh child; waits as `program` (init.compiled)."""
    try:
        prctl.set_pdeathsig(signal.SIGKILL)
        only([door.fileno(), *([] if program is None else [program])])
        default_signals()
        unshare(CLONE_NEWUSER)
        packets.send(door, {"pid": os.getpid()})
        if program is not None:
            wait(program, door.fileno())
        door.recv(1)
    finally:
        os._exit(0)


class Maps:
    """`fd(owner, group, uid)` for mount_setattr; `fill` asks for holders for uids not seen before."""

    def __init__(self, holder: Callable[[socket.socket], None]) -> None:
        """`holder(door)`: have one forked."""
        self._holder = holder
        self._kept: OrderedDict[tuple[int, int, int], int] = OrderedDict()
        self._spare: deque[socket.socket] = deque()
        self._used: list[socket.socket] = []
        self._closed = False

    def fd(self, owner: int, group: int, uid: int) -> int:
        """The namespace that shows files of owner:group as uid:uid; valid until the next call."""
        if owner == 0 or group == 0:
            raise OSError(
                1, "owned by root, and root's files are never shown as a dyno's; chown them to the slug uid"
            )
        key = (owner, group, uid)
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        self._kept[key] = self._new(key)
        if len(self._kept) > KEPT:
            os.close(self._kept.popitem(last=False)[1])
        return self._kept[key]

    def _new(self, key: tuple[int, int, int]) -> int:
        # Those who wait may have died, all of them with their nursery, before they said who they are or since.
        for _ in range(SPARE):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError, packets.Hung):
                return self._map_next(key)
        try:
            return self._map_next(key)
        except packets.Hung:
            raise OSError(12, "no user namespace; see /proc/sys/user/max_user_namespaces") from None

    def _map_next(self, key: tuple[int, int, int]) -> int:
        if not self._spare:
            self.fill()
        self._used.append(self._spare.popleft())
        return _map(self._used[-1], *key)

    @property
    def full(self) -> bool:
        return len(self._spare) >= SPARE

    def fill(self) -> None:
        """Let the used holders go, and ask for new ones. Not sooner, because a process that ends takes a processor."""
        while self._used:
            self._used.pop().close()
        while not self.full and not self._closed:
            ours, theirs = packets.pair()
            self._holder(theirs)
            theirs.close()
            self._spare.append(ours)

    def close(self) -> None:
        """Let the holders go."""
        self._closed = True
        for door in (*self._spare, *self._used):
            door.close()


def _map(door: socket.socket, owner: int, group: int, uid: int) -> int:
    """Use a holder up; it may go then."""
    pid = packets.receive(door)[0]["pid"]
    for name, inside in (("uid_map", owner), ("gid_map", group)):
        with open(f"/proc/{pid}/{name}", "wb", buffering=0) as table:
            table.write(b"%d %d 1\n" % (inside, uid))
    return os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
