"""`python -m dynod.host.handover --state DIR --run DIR --mark FILE USER`: that user, the control plane's, gets what root made for it.

Run as root before `dynod serve` starts (systemd/dynod.service), where systemd/install left the mark, or `dynod up` its lock. What others own by
right is left alone: the dyno host's directory, logplex's, the router's certificates. Nothing is followed, and a file of root's with a
second name stays root's, so that who had that user's rights meanwhile gains nothing by it.

A slug's tree is shown to dynos as owned by whoever owned it when they started, and a stack that is ours is removed once nobody is known to
stand on it. Both are therefore given only while there is no dyno, which is at the next start of the machine; until then the mark stays.
"""

import argparse
import contextlib
import fcntl
import os
import pwd
import re
import resource
import stat
import sys
from collections.abc import Iterator, Sequence

LOCK = "up.lock"  # of `dynod up`, which ran as root
WHOLE = frozenset(
    {"git", "cache", "builds", "uploads", "output", "autopsies", "secrets", "programs", "stacks"}
)
ALONE = re.compile(r"(ledger|observations)\.db.*")
STOOD_ON = frozenset({"slugs", "stack"})
HALF_MADE = ".new-"
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def hand_over(state: str, uid: int, gid: int, *, idle: bool) -> bool:
    """Give what is `uid`'s by now; `idle`: there is no dyno. Return whether that was all of it."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a tree takes as many as it is deep
    done = True
    with _opened(state, None) as top:
        for name in os.listdir(top):
            if name in WHOLE:
                _give_all(top, name, uid, gid)
            elif ALONE.fullmatch(name):
                _give(top, name, uid, gid)
            elif name == "router":
                _give_all(top, name, uid, gid, theirs=True)
            elif name in STOOD_ON and _give(top, name, uid, gid):
                done &= _give_trees(top, name, uid, gid, idle=idle)
    return done


def _give_trees(above: int, name: str, uid: int, gid: int, *, idle: bool) -> bool:
    """Give what is in a directory of trees that dynos stand on, but for those trees while there are dynos; return whether that was all."""
    done = True
    with _opened(name, above) as fd:
        for inner in os.listdir(fd):
            found = os.stat(inner, dir_fd=fd, follow_symlinks=False)
            if idle or inner.startswith(HALF_MADE) or not stat.S_ISDIR(found.st_mode):
                _give_all(fd, inner, uid, gid)
            else:
                done &= found.st_uid == uid
    return done


@contextlib.contextmanager
def _opened(path: str, above: int | None) -> Iterator[int]:
    fd = os.open(path, _DIRECTORY, dir_fd=above)
    try:
        yield fd
    finally:
        os.close(fd)


def _give_all(above: int, name: str, uid: int, gid: int, *, theirs: bool = False) -> None:
    """Give a file, or a directory with all that is in it, however deep; `theirs`: what is not root's is somebody's by right.

    What goes away meanwhile is no matter: a build may run.
    """
    waiting = [(os.dup(above), [name])]
    try:
        while waiting:
            fd, names = waiting[-1]
            if not names:
                os.close(waiting.pop()[0])
                continue
            inner = names.pop()
            with contextlib.suppress(FileNotFoundError):
                if _give(fd, inner, uid, gid, theirs=theirs):
                    opened = os.open(inner, _DIRECTORY, dir_fd=fd)
                    waiting.append((opened, os.listdir(opened)))
    finally:
        for fd, _ in waiting:
            os.close(fd)


def _give(above: int, name: str, uid: int, gid: int, *, theirs: bool = False) -> bool:
    """Give one thing; return whether it is a directory."""
    named = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=above)
    try:
        found = os.fstat(named)
        directory = stat.S_ISDIR(found.st_mode)
        kept = theirs if found.st_uid else found.st_nlink > 1 and not directory
        if (found.st_uid, found.st_gid) != (uid, gid) and not kept:
            os.chown(f"/proc/self/fd/{named}", uid, gid)
        return directory
    finally:
        os.close(named)


def _unlocked(state: str) -> bool:
    """Whether no `dynod up` lives there."""
    with contextlib.suppress(FileNotFoundError):
        fd = os.open(f"{state}/{LOCK}", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(fd)
    return True


def _idle(run: str) -> bool:
    """Whether there is no dyno: the dyno host keeps a record of each."""
    try:
        return not os.listdir(f"{run}/host")
    except FileNotFoundError:
        return True


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("handover", description="Give the control plane's user what is its own.")
    parser.add_argument("--state", required=True, metavar="DIR")
    parser.add_argument("--run", required=True, metavar="DIR")
    parser.add_argument(
        "--mark", required=True, metavar="FILE", help="removed once nothing is left to be given"
    )
    parser.add_argument("user")
    options = parser.parse_args(argv)
    state, user = options.state, pwd.getpwnam(options.user)
    if not _unlocked(state):
        print(f"cannot hand over {state}: `dynod up` uses it; stop that first", file=sys.stderr)  # noqa: T201  # a command's own words
        return 1
    done = hand_over(state, user.pw_uid, user.pw_gid, idle=_idle(options.run))
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{state}/{LOCK}")
    if done:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(options.mark)
    else:
        os.close(os.open(options.mark, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
