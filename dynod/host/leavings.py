"""What a dyno had changed in its file system: the upper layer of its overlay, listed once it is dead and before it is swept.

Whatever is found there was made by a stranger: nothing is followed, nothing is opened but directories, and the look ends after so
many entries, however many there are. The tree stands still by then, because nobody of that dyno lives.
"""

import os
import stat
from collections import deque

from dynod.model.autopsy import Changed

MOST = 1_000
HOSTS = "./etc/hosts"  # the dyno host wrote it (dynod/jail/enter.py), and the app cannot


def changed(top: int, most: int = MOST) -> tuple[tuple[Changed, ...], bool]:
    """List changed files by path, and whether there were more. Directories count, but are not listed. `top`: the upper layer."""
    found: list[Changed] = []
    seen, cut = 0, False
    waiting = deque(["."])
    while waiting:
        path = waiting.popleft()
        try:
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=top)
        except OSError:  # deeper than a path can be long, or shut even to its owner
            cut = True
            continue
        try:
            with os.scandir(fd) as entries:
                for entry in entries:
                    if seen >= most:
                        return _sorted(found), True
                    seen += 1
                    inner = f"{path}/{entry.name}"
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(inner)
                    elif inner != HOSTS:
                        found.append(_one(inner, entry.stat(follow_symlinks=False)))
        finally:
            os.close(fd)
    return _sorted(found), cut


def _sorted(found: list[Changed]) -> tuple[Changed, ...]:
    return tuple(sorted(found, key=lambda each: each.path))


def _one(path: str, status: os.stat_result) -> Changed:
    shown = os.fsencode(path[1:]).decode("utf-8", "backslashreplace")
    if stat.S_ISREG(status.st_mode):
        return Changed(shown, "file", status.st_size)
    if stat.S_ISLNK(status.st_mode):
        return Changed(shown, "link", 0)
    whiteout = stat.S_ISCHR(status.st_mode) and status.st_rdev == 0  # how overlay notes a deletion
    return Changed(shown, "deleted" if whiteout else "special", 0)
