"""User namespaces that map the owner of a slug's files to a dyno's uid, for idmapped mounts: made ahead, kept per uid.

A mapping can only be written while a process lives in the namespace, so a few holders wait, each in a user namespace of
its own without a mapping. To use one: write its maps, open the namespace, let the holder go; the descriptor is kept.
Nobody ever enters these namespaces: they are tables for the kernel, and the dyno itself stays in the machine's own.
"""

import os
import signal
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from dynod.jail.syscalls import CLONE_NEWUSER, unshare

KEPT = 512


@dataclass(frozen=True, slots=True)
class Holder:
    pid: int
    ready: int  # read end: one byte once the namespace exists
    leash: int  # write end: the holder ends when it is closed


class Maps:
    """`fd(owner, group, uid)` for mount_setattr; `spare` makes a holder for the next uid not seen before."""

    def __init__(self, only: Callable[[list[int]], None]) -> None:
        """`only`: closes every descriptor but the given ones, in a fresh child."""
        self._only = only
        self._kept: OrderedDict[tuple[int, int, int], int] = OrderedDict()
        self._spare: list[Holder] = []
        self._ending: list[int] = []

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
        if not self._spare:
            self.spare()
        self._kept[key] = self._map(self._spare.pop(0), *key)
        if len(self._kept) > KEPT:
            os.close(self._kept.popitem(last=False)[1])
        return self._kept[key]

    @property
    def spares(self) -> int:
        return len(self._spare)

    def spare(self) -> None:
        """Fork one holder, and bury those that were used: neither is done while somebody waits for a boot."""
        self._bury()
        ready, tell = os.pipe2(os.O_CLOEXEC)
        wait, leash = os.pipe2(os.O_CLOEXEC)
        pid = os.fork()
        if pid == 0:
            self._hold(tell, wait)
        os.close(tell)
        os.close(wait)
        self._spare.append(Holder(pid, ready, leash))

    def close(self) -> None:
        """End the holders."""
        for holder in self._spare:
            self._release(holder)
        self._spare.clear()
        self._bury()

    def _bury(self) -> None:
        while self._ending:
            os.waitpid(self._ending.pop(), 0)

    def _hold(self, tell: int, wait: int) -> None:
        try:
            self._only([tell, wait])
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
            unshare(CLONE_NEWUSER)
            os.write(tell, b"+")
            os.read(wait, 1)
        finally:
            os._exit(0)

    def _map(self, holder: Holder, owner: int, group: int, uid: int) -> int:
        try:
            if not os.read(holder.ready, 1):
                raise OSError(12, "cannot make a user namespace; see /proc/sys/user/max_user_namespaces")
            for name, inside in (("uid_map", owner), ("gid_map", group)):
                with open(f"/proc/{holder.pid}/{name}", "wb", buffering=0) as table:
                    table.write(b"%d %d 1\n" % (inside, uid))
            return os.open(f"/proc/{holder.pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
        finally:
            self._release(holder)

    def _release(self, holder: Holder) -> None:
        os.close(holder.leash)
        os.close(holder.ready)
        os.kill(holder.pid, signal.SIGKILL)
        self._ending.append(holder.pid)
