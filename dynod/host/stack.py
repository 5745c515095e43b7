"""The root file system that dynos see: a skeleton under STATE/stack (STATE/stacks, if we are not root), and the machine's own /usr shown read-only in it.

`build_stack` makes the skeleton anew when what it would hold has changed; the old one stays for the dynos that run on it until
`remove_unused`. A skeleton's directory is named after its content, is made under a temporary name and renamed, belongs to us,
and is compared with what it should hold at each start, so a half-written one (the power went) does not survive.
What goes in is stack_etc.py's.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType

from dynod.host.stack_etc import CA_BUNDLE, Directory, File, Gathered, Item, Link, gather
from dynod.model.jail import Bind

_TEMPORARY = ".new-"
# Apart: an older version, which is root, would remove what it does not know below dynos.
ROOTS, OURS = "stack", "stacks"

# Programs that bring their own list of authorities are told the machine's: else a build behind a company's proxy fails. Tried in
# the stack: git, curl, OpenSSL, Debian's python3 and its pip need nothing; node, requests and pips before 24.2 do.
STACK_ENV: Mapping[str, str] = MappingProxyType(
    {
        "LANG": "C.UTF-8",
        "SSL_CERT_FILE": CA_BUNDLE,  # uv and the Pythons it brings
        "PIP_CERT": CA_BUNDLE,
        "REQUESTS_CA_BUNDLE": CA_BUNDLE,  # poetry and pipenv, too
        "NODE_EXTRA_CA_CERTS": CA_BUNDLE,
    }
)


@dataclass(frozen=True, slots=True)
class Stack:
    """`skeleton` is the lowest layer, `binds` go on top of it, `env` must reach builds, `notes` are for a person."""

    name: str
    skeleton: str
    binds: tuple[Bind, ...]
    env: Mapping[str, str]
    notes: tuple[str, ...] = ()


def _digest(items: Mapping[str, Item]) -> str:
    digest = hashlib.sha256()
    for path in sorted(items):
        match items[path]:
            case File(data, mode):
                line = f"file {path} {mode:o} {hashlib.sha256(data).hexdigest()}"
            case Link(target):
                line = f"link {path} {target}"
            case Directory(mode):
                line = f"directory {path} {mode:o}"
        digest.update(f"{line}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _write(top: str, items: Mapping[str, Item]) -> None:
    for path in sorted(items):
        full = f"{top}/{path}"
        match items[path]:
            case Directory(mode):
                os.makedirs(full, exist_ok=True)
                os.chmod(full, mode)
            case Link(target):
                os.makedirs(os.path.dirname(full), exist_ok=True)
                os.symlink(target, full)
            case File(data, mode):
                os.makedirs(os.path.dirname(full), exist_ok=True)
                with open(full, "xb") as file:
                    file.write(data)
                os.chmod(full, mode)


def _holds(top: str, items: Mapping[str, Item]) -> bool:
    """Say whether a skeleton is what it should be, to the byte."""
    try:
        return all(_is(f"{top}/{path}", item) for path, item in items.items())
    except OSError:
        return False


def _is(path: str, item: Item) -> bool:
    found = os.lstat(path)
    if found.st_uid != os.geteuid():
        return False
    match item:
        case Link(target):
            return os.readlink(path) == target
        case Directory(mode):
            return found.st_mode & 0o7777 == mode
        case File(data, mode):
            with open(path, "rb") as file:
                return found.st_mode & 0o7777 == mode and file.read() == data


def build_stack(state: str, uids: range, root: str = "") -> Stack:
    """Return this machine's stack, with its skeleton on the disk; `uids` are those that dynos run as."""
    gathered = gather(root, uids)
    parent = f"{state}/{ROOTS if os.geteuid() == 0 else OURS}"
    os.makedirs(parent, mode=0o755, exist_ok=True)
    skeleton = f"{parent}/{gathered.name}-{_digest(gathered.items)[:12]}"
    if not _holds(skeleton, gathered.items):
        _make(parent, skeleton, gathered)
    binds = tuple(Bind(path, path) for path in gathered.binds)
    has_bundle = CA_BUNDLE.lstrip("/") in gathered.items
    env = {name: value for name, value in STACK_ENV.items() if has_bundle or value != CA_BUNDLE}
    return Stack(gathered.name, skeleton, binds, env, gathered.notes)


def _make(parent: str, skeleton: str, gathered: Gathered) -> None:
    work = tempfile.mkdtemp(prefix=_TEMPORARY, dir=parent)
    try:
        os.chmod(work, 0o755)  # noqa: S103  # every dyno's root directory
        before = os.umask(0o022)
        try:
            _write(work, gathered.items)
        finally:
            os.umask(before)
        with suppress(FileNotFoundError):
            os.rename(skeleton, f"{work}.bad")
        os.rename(work, skeleton)
    finally:
        for left in (work, f"{work}.bad"):
            shutil.rmtree(left, ignore_errors=True)


def remove_unused(state: str, in_use: Collection[str]) -> None:
    """Remove every skeleton but those in use (the current one, and the lowest layers of living dynos), and what is half made."""
    for parent in (f"{state}/{ROOTS}", f"{state}/{OURS}"):
        for name in os.listdir(parent) if os.path.isdir(parent) else ():
            if f"{parent}/{name}" not in in_use:
                shutil.rmtree(f"{parent}/{name}", ignore_errors=True)
