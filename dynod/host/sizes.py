"""Dyno sizes of this machine: `[sizes.NAME]` in dynod.toml, beside Heroku's own, which cannot be changed.

    [sizes.small]
    memory = "128MB"      # R14 at it, R15 at twice it
    cpu = 1               # shares of a Standard-1X
    processes = 64        # with threads; 256 if left out
    dynos = 20            # of one process type at most; 100 if left out
    disk = "2GB"          # for all that it writes; 4GB if left out

One entry point, `read_sizes`; every error names the key and what is allowed.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from dynod.model.formation import GIB, MAX_DYNOS, MIB, DynoSize, taken

_NAME = re.compile(r"[A-Za-z][-A-Za-z0-9]{0,30}[A-Za-z0-9]")
_AMOUNT = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,3})?) ?(MB|GB|TB)")
_UNITS = {"MB": MIB, "GB": 1024 * MIB, "TB": 1024 * 1024 * MIB}
LEAST_MEMORY = 32 * MIB  # a shell and an interpreter of some kind
MOST_MEMORY = 16 * _UNITS["TB"]
LEAST_DISK, MOST_DISK = 64 * MIB, 8 * _UNITS["TB"]
LEAST_PROCESSES, MOST_PROCESSES = 8, 32_768  # PID 1, a shell and what it runs; Heroku's own most
MOST_CPU = 100  # a weight of 10,000, the kernel's most


class BadSize(Exception):
    """What was written is no size; the text says which key and what is allowed."""


def amount(text: Any) -> int | None:
    """Read `512MB` or `1.5GB` (of 1024) into bytes; None for anything else."""
    found = _AMOUNT.fullmatch(text) if isinstance(text, str) else None
    return None if found is None else int(float(found[1]) * _UNITS[found[2]])


def _memory(value: Any) -> int:
    bytes_ = amount(value)
    if bytes_ is None or not LEAST_MEMORY <= bytes_ <= MOST_MEMORY:
        raise ValueError("it must be a text such as '512MB' or '1.5GB', from 32MB to 16TB")
    return bytes_


def _disk(value: Any) -> int:
    bytes_ = amount(value)
    if bytes_ is None or not LEAST_DISK <= bytes_ <= MOST_DISK:
        raise ValueError("it must be a text such as '512MB' or '4GB', from 64MB to 8TB")
    return bytes_ - bytes_ % MIB


def _count(least: int, most: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise ValueError(f"it must be a whole number from {least} to {most}")
        return value

    return read


# key -> field of DynoSize, how it is read, what stands for it (None: it must be there)
KEYS: dict[str, tuple[str, Callable[[Any], int], int | None]] = {
    "memory": ("memory", _memory, None),
    "cpu": ("cpu", _count(1, MOST_CPU), 1),
    "processes": ("tasks", _count(LEAST_PROCESSES, MOST_PROCESSES), 256),
    "dynos": ("max_per_type", _count(1, MAX_DYNOS), MAX_DYNOS),
    "disk": ("disk", _disk, 4 * GIB),
}


def read_sizes(table: Any, file: str) -> tuple[DynoSize, ...]:
    """Read the table `sizes` of a settings file; raise BadSize."""
    if not isinstance(table, Mapping) or not all(isinstance(each, Mapping) for each in table.values()):
        raise BadSize(f"cannot use sizes in {file}: each has a table of its own, such as [sizes.small]")
    names: set[str] = set()
    for name in table:
        if not _NAME.fullmatch(name):
            raise BadSize(
                f"cannot use sizes.{name} in {file}: a size is named by 2 to 32 letters, digits and dashes, a letter first"
            )
        if taken(name):
            raise BadSize(f"cannot use sizes.{name} in {file}: Heroku has a size of this name; take another")
        if name.lower() in names:
            raise BadSize(
                f"cannot use sizes.{name} in {file}: it is there twice, and names are the same in any case"
            )
        names.add(name.lower())
    return tuple(_size(name, given, file) for name, given in table.items())


def _size(name: str, given: Mapping[str, Any], file: str) -> DynoSize:
    for key in given:
        if key not in KEYS:
            raise BadSize(f"cannot use sizes.{name}.{key} in {file}: the keys are {', '.join(KEYS)}")
    values: dict[str, int] = {}
    for key, (field, read, default) in KEYS.items():
        if key not in given:
            if default is None:
                raise BadSize(f"cannot use sizes.{name} in {file}: it needs {key}")
            values[field] = default
            continue
        try:
            values[field] = read(given[key])
        except ValueError as error:
            raise BadSize(f"cannot use sizes.{name}.{key} = {given[key]!r} in {file}: {error}") from None
    return DynoSize(name, **values, cents=0)
