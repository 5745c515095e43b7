"""What a program that idles for good need not hold: modules that others import in passing, and what its start has left behind.

`without` keeps modules out while others are imported, which those must be made for (asyncio without ssl, hashlib without OpenSSL).
`settle` is called once, when a program is about to serve. Rejected: python -OO, which takes the asserts along.
"""

import contextlib
import ctypes
import gc
import re
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from types import ModuleType

_DONTNEED = 4  # MADV_DONTNEED
_libc = ctypes.CDLL(None)


@contextlib.contextmanager
def without(*names: str) -> Iterator[None]:
    """Have an import of these fail with ImportError inside the block, unless they are there already."""
    kept_out = [name for name in names if name not in sys.modules]
    for name in kept_out:
        sys.modules[name] = None  # type: ignore[assignment]  # import(5.3.1): "if None, ModuleNotFoundError is raised"
    try:
        yield
    finally:
        for name in kept_out:
            del sys.modules[name]


@contextlib.contextmanager
def blank(*names: str) -> Iterator[None]:
    """Have modules of these names inside the block in which there is whatever one asks for, and nothing that works.

    For what takes names out of a module as it is imported and uses none of them (uvloop takes ssl's). What is there already is left.
    """

    def whatever(asked: str) -> object:
        return 0 if asked.isupper() else type(asked, (Exception,), {})

    made = [name for name in names if name not in sys.modules]
    for name in made:
        sys.modules[name] = module = ModuleType(name)
        module.__getattr__ = whatever  # type: ignore[method-assign]  # PEP 562
    try:
        yield
    finally:
        for name in made:
            del sys.modules[name]


def bare(package: str, module: str) -> None:
    """Import a module of a package without the package's own __init__, which would import all that there is.

    Where a version of it cannot do that, it is imported as others do.
    """
    spec = find_spec(package)
    if package in sys.modules or spec is None or spec.origin is None:
        return
    before = set(sys.modules)
    sys.modules[package] = made = module_from_spec(spec)
    with open(spec.origin, encoding="utf-8") as file:
        version = re.search(r'^__version__ = "([^"]+)"', file.read(), re.MULTILINE)
    made.__version__ = version[1] if version else ""  # type: ignore[attr-defined]  # the one thing that modules ask their package for
    try:
        import_module(f"{package}.{module}")
    except Exception:  # noqa: BLE001  # whatever a later version misses there
        for name in set(sys.modules) - before:
            del sys.modules[name]


def settle() -> None:
    """Let go of what the start has left: garbage, free memory, and the pages of programs' code that it ran through.

    What there is now is not looked at by later collections: they are shorter, and write to no page that processes share.
    """
    gc.collect()
    gc.freeze()
    _libc.malloc_trim(0)
    with contextlib.suppress(OSError):  # no /proc: then they stay
        for start, end in _code():
            _libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), _DONTNEED)


def _code() -> list[tuple[int, int]]:
    """Find where files are mapped that nobody wrote to in memory: what is touched again comes back from the page cache.

    A mapping with a page of our own (relocated by the linker, say) is none of them: that page would be lost.
    """
    found = []
    with open("/proc/self/smaps", encoding="ascii", errors="replace") as file:
        for line in file:
            first, _, rest = line.partition(" ")
            if "-" in first:
                low, _, high = first.partition("-")
                where = int(low, 16), int(high, 16)
                mode, _, _, inode, *_ = rest.split()
                of_file = inode != "0" and mode[1] == "-" and mode[3] == "p"
            elif first == "Anonymous:" and of_file and int(rest.split()[0]) == 0:
                found.append(where)
    return found
