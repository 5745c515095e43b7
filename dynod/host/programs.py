"""The programs that run inside build dynos (slugc and the values it knows), laid out under STATE where dynos may look.

A copy, named by its contents: an upgrade of the platform in the middle of a build changes nothing for that build, the files can be
read by any dyno's uid whatever the umask of the installation was, and they are compiled once instead of in each build.
"""

import compileall
import hashlib
import os
import py_compile
import shutil
import tempfile

from dynod.host.durable import rename_new, to_disk
from dynod.model.jail import Bind

INSIDE = "/opt/dynod"
_PARTS = ("slugc", "dynod/model")


def _files(packages: str) -> list[str]:
    found = []
    for part in _PARTS:
        for directory, names, files in os.walk(os.path.join(packages, part)):
            names[:] = sorted(name for name in names if name != "__pycache__")
            found += [os.path.relpath(os.path.join(directory, name), packages) for name in sorted(files)]
    return found


def _digest(packages: str, files: list[str]) -> str:
    digest = hashlib.sha256()
    for name in files:
        path = os.path.join(packages, name)
        with open(path, "rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{name} {os.access(path, os.X_OK)} {content}\n".encode())
    return digest.hexdigest()[:12]


def _lay_out(packages: str, files: list[str], target: str) -> None:
    for name in files:
        source, copy = os.path.join(packages, name), os.path.join(target, name)
        os.makedirs(os.path.dirname(copy), exist_ok=True)
        shutil.copyfile(source, copy)
        os.chmod(copy, 0o755 if os.access(source, os.X_OK) else 0o644)
    compileall.compile_dir(
        target,
        quiet=2,
        stripdir=target,
        prependdir=INSIDE,
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )
    for directory, _, _ in os.walk(target):
        os.chmod(directory, 0o755)  # noqa: S103  # every build dyno reads them


def stage(state: str, packages: str) -> tuple[Bind, ...]:
    """Return the binds of the programs under `packages`, copied to STATE/programs first if they are not there yet."""
    parent = f"{state}/programs"
    os.makedirs(parent, mode=0o755, exist_ok=True)
    files = _files(packages)
    home = f"{parent}/{_digest(packages, files)}"
    if not os.path.isdir(home):
        work = tempfile.mkdtemp(prefix=".new-", dir=parent)
        _lay_out(packages, files, work)
        to_disk(work)
        rename_new(work, home)
    for name in os.listdir(parent):
        if name.startswith(".new-"):
            shutil.rmtree(f"{parent}/{name}", ignore_errors=True)
    return (Bind(home, INSIDE),)
