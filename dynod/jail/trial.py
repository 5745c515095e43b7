"""What walls take, tried before anybody needs them: `python -m dynod.jail.trial DIR` prints a JSON object that says of each trial why it
failed, '' where it did not. For `dynod doctor`, which may not know how walls are made. DIR: where slugs lie, or will.

Each trial is a child in namespaces of its own, and ends with them: nothing stays, but a module that the kernel loaded for it.
"""

import json
import os
import signal
import socket
import sys
from collections.abc import Callable

import prctl

from dynod.jail import mounts, seccomp
from dynod.jail import syscalls as k
from dynod.jail.idmap import Maps, hold

NAMESPACES = {
    "mnt": k.CLONE_NEWNS,
    "pid": k.CLONE_NEWPID,
    "net": k.CLONE_NEWNET,
    "ipc": k.CLONE_NEWIPC,
    "uts": k.CLONE_NEWUTS,
    "cgroup": k.CLONE_NEWCGROUP,
}
OWNER, DYNO = 2_000, 2_001  # of the map that is tried: any two that are not root
_ROOM = "/tmp"  # there on every machine, and covered for the trial alone


def why(trial: Callable[[], object]) -> str:
    """Try it in a child; return why it failed, '' if it did not."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            trial()
            status = 0
        except OSError as error:
            os.write(write, (error.strerror or str(error)).encode())
        finally:
            os._exit(status)
    os.close(write)
    with open(read, "rb") as said:
        told = said.read().decode()
    ended = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return told or (f"it ended with {ended}" if ended else "")


def namespaces() -> None:
    """Raise OSError naming those that cannot be had."""
    refused = {name: said for name, flag in NAMESPACES.items() if (said := why(lambda: k.unshare(flag)))}  # noqa: B023  # called at once
    if refused:
        reasons = {said: [name for name in refused if refused[name] == said] for said in refused.values()}
        raise OSError(0, "; ".join(f"{', '.join(names)}: {said}" for said, names in reasons.items()))


def user_namespace() -> int:
    """Make one that maps somebody's files to a dyno's uid; raise OSError."""

    def holder(door: socket.socket) -> None:
        if os.fork() == 0:
            hold(door, None)

    maps = Maps(holder)
    try:
        return maps.fd(OWNER, OWNER, DYNO)
    finally:
        maps.close()


def shown(directory: str, userns: int) -> int:
    """Give a detached mount of a directory, as a slug is shown to a dyno; raise OSError."""
    return mounts.tree(os.open(directory, os.O_PATH | os.O_CLOEXEC), directory, writable=False, userns=userns)


def overlay(directory: str, userns: int) -> None:
    """Put a layer that can be written to on top of that; raise OSError."""
    lower = shown(directory, userns)
    k.unshare(k.CLONE_NEWNS)
    k.mount(None, "/", None, k.MS_REC | k.MS_PRIVATE)
    k.mount("tmpfs", _ROOM, "tmpfs", mounts.SAFE, "mode=755,size=64k")
    for name in ("lower", "upper", "work", "new"):
        os.mkdir(f"{_ROOM}/{name}")
    k.move_mount(lower, k.AT_FDCWD, f"{_ROOM}/lower")
    layers = f"lowerdir={_ROOM}/lower,upperdir={_ROOM}/upper,workdir={_ROOM}/work"
    k.mount("overlay", f"{_ROOM}/new", "overlay", mounts.SAFE, f"{layers},volatile,redirect_dir=on")


def filtered() -> None:
    """Have this process's system calls filtered as a dyno's are; raise OSError."""
    prctl.set_no_new_privs(1)
    seccomp.install()


def trials(directory: str) -> dict[str, str]:
    """Try everything."""
    userns, no_map, no_mount = 0, why(user_namespace), ""
    if not no_map:
        userns = user_namespace()
        no_mount = why(lambda: shown(directory, userns))
    return {
        "namespaces": why(namespaces),
        "user namespaces": no_map,
        "idmapped mounts": f"not without user namespaces: {no_map}" if no_map else no_mount,
        # What it is laid over is another trial's matter.
        "overlayfs": why(lambda: overlay(directory, 0 if no_mount else userns)),
        "seccomp": why(filtered),
    }


if __name__ == "__main__":
    prctl.set_pdeathsig(signal.SIGKILL)
    sys.stdout.write(json.dumps(trials(sys.argv[1])))
