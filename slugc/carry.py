"""A build with what it brings and what it leaves: the cache unpacked before, slug, manifest and cache handed out behind.

BUILD_ROOT is read-only here; its doors/ are pipes whose reader takes so many bytes of each and hangs up then (dynod/engine/doors.py). So the
build itself happens in a directory of the dyno's own disk, which looks the same, and whatever it writes counts against that disk.
"""

import contextlib
import os
import shutil
import subprocess
from typing import BinaryIO

from slugc.compile import main as compile_in

_PIECE = 1024 * 1024
CACHE = "cache.tar"


def main(build_root: str, own: str) -> int:
    """Build in `own`, which is made; return the exit status."""
    os.mkdir(own, 0o700)
    root, cache = f"{own}/root", f"{own}/cache"
    for path in (root, cache, f"{root}/out"):
        os.mkdir(path, 0o755)
    for name in ("source.tar", "request.json", "env"):
        os.symlink(f"{build_root}/{name}", f"{root}/{name}")
    if os.path.exists(f"{build_root}/{CACHE}"):
        _unpack(f"{build_root}/{CACHE}", cache)
    status = compile_in(root, cache)
    if status:
        return status
    for name in ("slug.tgz", "manifest.json"):
        # Whoever hears it says what is too much, and hangs up.
        with (
            contextlib.suppress(BrokenPipeError),
            open(f"{root}/out/{name}", "rb") as made,
            _out(build_root, name) as out,
        ):
            shutil.copyfileobj(made, out, _PIECE)
    with _out(build_root, CACHE) as out:  # one that cannot be kept is no failed build
        subprocess.run(["tar", "-C", cache, "-c", "."], stdout=out, stderr=subprocess.DEVNULL, check=False)
    return 0


def _out(build_root: str, name: str) -> BinaryIO:
    return open(os.open(f"{build_root}/doors/{name}", os.O_WRONLY | os.O_CLOEXEC), "wb", buffering=0)


def _unpack(archive: str, cache: str) -> None:
    """Bring the cache back; one that is cut off or broken is none."""
    done = subprocess.run(["tar", "-C", cache, "-xpf", archive], stderr=subprocess.DEVNULL, check=False)
    if done.returncode:
        shutil.rmtree(cache, ignore_errors=True)
        os.makedirs(cache, exist_ok=True)
