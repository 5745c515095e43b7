"""Lay a buildpack ready to run: ours from beside this file, a stranger's from git or a .tgz. Owns the network and git.

Each pack gets a directory of its own in the build dyno's /tmp, because a pack may write its `export` file there. Ours are mounted
read-only, so such a directory links to them.
"""

import os
import shutil
import subprocess
import urllib.error
import urllib.request
from dataclasses import dataclass

from slugc import source
from slugc.buildpacks import ArchivePack, DirectoryPack, GitPack, Pack, Shipped
from slugc.failure import BuildFailed
from slugc.output import alarm, push_failed

_PACKS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "packs")
_ARCHIVE_BYTES = 512 * 1024 * 1024
_TIMEOUT = 60.0


@dataclass(frozen=True, slots=True)
class Installed:
    """A pack whose bin/ can be run."""

    pack: Pack
    root: str

    def program(self, name: str) -> str:
        return f"{self.root}/bin/{name}"

    def has(self, name: str) -> bool:
        return os.path.isfile(self.program(name))


def install(pack: Pack, into: str) -> Installed:
    """Fetch `pack` into `into`, which is made; raise BuildFailed."""
    match pack:
        case Shipped(name):
            os.mkdir(into)
            os.symlink(f"{_PACKS}/{name}/bin", f"{into}/bin")
        case DirectoryPack(path):
            if not os.path.isdir(path):
                raise _missing(pack, "there is no such directory")
            shutil.copytree(path, into, symlinks=True, ignore=shutil.ignore_patterns("export"))
        case GitPack(url, ref):
            _clone(pack, url, ref, into)
        case ArchivePack(url):
            _download(pack, url, into)
    installed = Installed(pack, into)
    for name in ("detect", "compile"):
        if not installed.has(name):
            raise _missing(pack, f"it has no bin/{name}")
    return installed


def _missing(pack: Pack, reason: str) -> BuildFailed:
    return BuildFailed(push_failed(alarm(f"cannot use buildpack {pack}: {reason}")))


def _clone(pack: Pack, url: str, ref: str, into: str) -> None:
    depth = () if ref else ("--depth", "1", "--shallow-submodules")
    _git(pack, ["git", "clone", "--quiet", "--recursive", *depth, "--", url, into])
    if ref:
        _git(pack, ["git", "-C", into, "checkout", "--quiet", "--detach", ref, "--"], f"origin/{ref}")


def _git(pack: Pack, argv: list[str], instead_of_last_ref: str = "") -> None:
    """Run git without questions; a branch that only the remote has is tried under its remote name."""
    env = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "GIT_ALLOW_PROTOCOL": "https:http:file"}
    done = subprocess.run(
        argv, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    if done.returncode and instead_of_last_ref:
        _git(pack, [*argv[:-2], instead_of_last_ref, "--"])
    elif done.returncode:
        said = done.stdout.decode("utf-8", "replace").strip().rpartition("\n")[2]
        raise _missing(pack, f"git says: {said}")


def _download(pack: Pack, url: str, into: str) -> None:
    archive = f"{into}.tgz"
    size = 0
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT) as response, open(archive, "xb") as file:
            while chunk := response.read(source.CHUNK):
                size += len(chunk)
                if size > _ARCHIVE_BYTES:
                    raise _missing(pack, "the archive is larger than 512 MB")
                file.write(chunk)
    except (urllib.error.URLError, OSError, ValueError) as error:
        raise _missing(pack, f"{error}") from error
    os.mkdir(into)
    try:
        source.unpack(archive, into, 2 * _ARCHIVE_BYTES)
    except source.BadArchive as error:
        raise _missing(pack, f"{error}") from error
    os.unlink(archive)
    _hoist(into)


def _hoist(into: str) -> None:
    """Many archives hold one directory with the pack in it."""
    names = os.listdir(into)
    if len(names) == 1 and os.path.isdir(f"{into}/{names[0]}/bin"):
        inner = f"{into}/{names[0]}"
        for name in os.listdir(inner):
            shutil.move(f"{inner}/{name}", f"{into}/{name}.hoisted")
        os.rmdir(inner)
        for name in os.listdir(into):
            os.rename(f"{into}/{name}", f"{into}/{name.removesuffix('.hoisted')}")
