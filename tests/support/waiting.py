"""Waiting for things as tests must: for the event itself, with a generous cap, and never by sleeping a while.

`run(coro)` runs asyncio code. `until(check, watch=..., pids=...)` waits for a condition; `until_listening`, `until_ended`,
`until_exists` are the usual ones. Where the machine is emulated, DYNOD_TEST_PATIENCE says how many times as long all caps are (tests/lab).
"""

import asyncio
import contextlib
import ctypes
import os
import socket

LONGER = float(os.environ.get("DYNOD_TEST_PATIENCE", "1"))
CAP = 60.0 * LONGER  # seconds: reached only by what is broken
# modify attrib close_write moved_from moved_to create delete.
_IN_ANY = 0x002 | 0x004 | 0x008 | 0x040 | 0x080 | 0x100 | 0x200
_libc = ctypes.CDLL(None, use_errno=True)


def run(coro, cap=CAP):
    """Run `coro` to its end and return what it returns; TimeoutError after `cap` seconds."""

    async def capped():
        async with asyncio.timeout(cap):
            return await coro

    return asyncio.run(capped())


async def until(check, *, watch=(), pids=(), cap=CAP, what=""):
    """Wait until `check()` is true and return what it returned.

    It is asked now, whenever something happens in one of the directories (or to one of the files) `watch`, and when one of
    the processes `pids` ends.
    """
    loop = asyncio.get_running_loop()
    changed = asyncio.Event()
    changed.set()
    with contextlib.ExitStack() as stack:
        if watch:
            notes = _inotify(watch)
            stack.callback(os.close, notes)
            loop.add_reader(notes, _drain, notes, changed)
            stack.callback(loop.remove_reader, notes)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                pidfd = os.pidfd_open(pid)
                stack.callback(os.close, pidfd)
                loop.add_reader(pidfd, _ended, loop, pidfd, changed)
                stack.callback(loop.remove_reader, pidfd)
        try:
            async with asyncio.timeout(cap):
                while True:
                    await changed.wait()
                    changed.clear()
                    if found := check():
                        return found
        except TimeoutError:
            raise AssertionError(f"waited {cap:.0f} s in vain: {what or check.__name__}") from None


async def until_exists(path, cap=CAP):
    """Wait until there is something at `path`; its directory must be there."""
    await until(lambda: os.path.lexists(path), watch=[os.path.dirname(path)], cap=cap, what=f"no {path}")


def has_ended(pid):
    """Whether the process has ended; it may be a zombie then."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


async def until_ended(pid, cap=CAP):
    """Wait until the process has ended (it may be a zombie then)."""
    await until(lambda: has_ended(pid), pids=[pid], cap=cap, what=f"process {pid} lives on")


async def until_listening(address, cap=CAP, kind=socket.SOCK_STREAM):
    """Wait until a connection to `address`, a unix socket's path or (host, port), is taken.

    The kernel tells nobody of a listen(2), so it is tried again on a timer.
    """
    loop = asyncio.get_running_loop()
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    try:
        async with asyncio.timeout(cap):
            while True:
                with socket.socket(family, kind) as probe:
                    probe.setblocking(False)
                    try:
                        await loop.sock_connect(probe, address)
                        return
                    except OSError:
                        pass
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"waited {cap:.0f} s in vain: nobody listens at {address}") from None


def _inotify(paths):
    notes = _libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
    for path in paths:
        if _libc.inotify_add_watch(notes, os.fsencode(path), _IN_ANY) < 0:
            error = ctypes.get_errno()
            os.close(notes)
            raise OSError(error, os.strerror(error), str(path))
    return notes


def _drain(notes, changed):
    with contextlib.suppress(BlockingIOError):
        while os.read(notes, 65536):
            pass
    changed.set()


def _ended(loop, pidfd, changed):
    loop.remove_reader(pidfd)
    changed.set()
