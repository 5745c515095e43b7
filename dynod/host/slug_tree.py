"""Writing a slug's entries below one directory, and nowhere else whatever the entries are called.

No path is ever given to the kernel: every step goes one component down from a directory that is open already, with O_NOFOLLOW,
and everything is made anew (O_EXCL), so that a link or a second entry of the same name can only be refused.

Also the program that does it (`python -m dynod.host.slug_tree`): the archive on stdin, the directory as its working directory, one JSON
line as its answer. A stranger's bytes are parsed there, in a process that is the slug user (if we are root) behind walls of its own
(confine.py), with bounded memory; and a slug of half a million files does not hold the control plane's interpreter.
"""

import errno
import json
import os
import resource
import stat
import sys
from collections import OrderedDict
from typing import Any

from dynod.host.confine import confine
from dynod.host.slug_tar import Entry, Kind, Layout, Limits, SlugRefused, SlugTar, quoted

OPEN_DIRECTORIES = 400  # more than two paths of the greatest depth: both ends of a hard link stay open
MEMORY = 1024**3
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Tree:
    """The directory `root` (a descriptor) and the last directories used below it."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._open: OrderedDict[tuple[str, ...], int] = OrderedDict()

    def close(self) -> None:
        for descriptor in self._open.values():
            os.close(descriptor)
        self._open.clear()

    def write(self, entry: Entry, tar: SlugTar) -> None:
        """Make what the entry says."""
        try:
            self._make(entry, tar)
        except FileExistsError:
            raise SlugRefused(f"entry {quoted(entry.name)} is there twice") from None
        except OSError as error:
            if error.errno in {errno.ENOTDIR, errno.ELOOP}:
                raise SlugRefused(f"entry {quoted(entry.name)} goes through a link or a file") from None
            raise

    def _make(self, entry: Entry, tar: SlugTar) -> None:
        if entry.kind is Kind.DIRECTORY:
            os.fchmod(self._directory(entry.path), entry.mode)
            return
        parent, name = self._directory(entry.path[:-1]), entry.path[-1]
        match entry.kind:
            case Kind.FILE:
                file = os.open(name, _NEW, 0o600, dir_fd=parent)
                try:
                    for data in tar.content():
                        _write_all(file, data)
                    os.fchmod(file, entry.mode)
                    os.utime(file, (entry.mtime, entry.mtime))
                finally:
                    os.close(file)
            case Kind.SYMLINK:
                os.symlink(str(entry.target), name, dir_fd=parent)
            case Kind.HARDLINK:
                self._link(entry, parent, name)

    def _link(self, entry: Entry, parent: int, name: str) -> None:
        other = tuple(entry.target)
        try:
            source = self._directory(other[:-1], make=False)
            regular = stat.S_ISREG(os.stat(other[-1], dir_fd=source, follow_symlinks=False).st_mode)
        except (OSError, IndexError):
            regular = False
        if not regular:
            raise SlugRefused(f"entry {quoted(entry.name)} is a hard link to no file of the slug")
        os.link(other[-1], name, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)

    def _directory(self, path: tuple[str, ...], *, make: bool = True) -> int:
        if not path:
            return self._root
        if (known := self._open.get(path)) is not None:
            self._open.move_to_end(path)
            return known
        parent = self._directory(path[:-1], make=make)
        try:
            opened = os.open(path[-1], _DIRECTORY, dir_fd=parent)
        except FileNotFoundError:
            if not make:
                raise
            os.mkdir(path[-1], 0o755, dir_fd=parent)
            opened = os.open(path[-1], _DIRECTORY, dir_fd=parent)
        self._open[path] = opened
        if len(self._open) > OPEN_DIRECTORIES:
            os.close(self._open.popitem(last=False)[1])
        return opened


def _write_all(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


def unpack_here(tar: SlugTar) -> None:
    """Write a whole archive below the working directory; raise SlugRefused and leave the rest to who made the directory."""
    root = os.open(".", _DIRECTORY)
    tree = Tree(root)
    try:
        for entry in tar:
            tree.write(entry, tar)
    finally:
        tree.close()
        os.close(root)


def _become(uid: int, gid: int) -> None:
    if os.geteuid() == 0 and uid != 0:
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)


def main(argv: list[str]) -> int:
    """Unpack stdin here; `argv[0]` is JSON: uid, gid, layout and the fields of Limits."""
    given: dict[str, Any] = json.loads(argv[0])
    os.umask(0o022)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _become(given.pop("uid"), given.pop("gid"))
    layout = Layout(given.pop("layout"))
    confine()
    answer: dict[str, Any]
    try:
        tar = SlugTar(sys.stdin.buffer, Limits(**given), layout)
        unpack_here(tar)
        answer = {"entries": tar.entries, "bytes": tar.unpacked}
    except SlugRefused as refused:
        answer = {"refused": refused.why}
    except OSError as error:
        answer = {"failed": str(error)}
    sys.stdout.write(json.dumps(answer))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
