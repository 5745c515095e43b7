"""Which uids are dynod's: `uids` in dynod.toml, else the entry of `dynod` in /etc/subuid, else a range of its own; never anybody's.

`uids = "300000:5000"` is FIRST:COUNT as in subuid(5); `uids = "subuid"` insists on the entry. The first uid of such a range
owns slugs, the others are dynos'. (The older keys uid_first and uid_count name the dynos' alone; the one before them owns slugs.)
A uid that somebody logs in with is refused at the start: a dyno would be that person. What others have in /etc/subuid is told by `dynod doctor`.
"""

import grp
import pwd
import re
from collections.abc import Iterable
from dataclasses import dataclass

SUBUID = "/etc/subuid"
USER = "dynod"
FROM_SUBUID = "subuid"
# Below it are the system's users; beyond it tools of old see negative numbers.
LEAST_FIRST, LAST = 1_000, 2**31
LEAST = 16  # a slug user and fifteen dynos: less is a slip of the pen
_RANGE = re.compile(r"([0-9]{1,10}):([0-9]{1,10})")


class BadRange(Exception):
    """These uids cannot be dynod's; the text says why, and what can be done."""


@dataclass(frozen=True, slots=True)
class UidRange:
    """`first` to `first + count - 1` are dynos'; the one before them is the slug user's."""

    first: int
    count: int


def entry(subuid: str) -> str | None:
    """Return FIRST:COUNT of the first entry of `dynod` in a file like /etc/subuid."""
    for line in subuid.splitlines():
        name, _, rest = line.strip().partition(":")
        if name == USER:
            return rest
    return None


def read_uids(text: str, where: str) -> UidRange:
    """Read FIRST:COUNT; raise BadRange."""
    found = _RANGE.fullmatch(text.strip())
    if found is None:
        raise BadRange(f"cannot use {where} {text!r}: it must be FIRST:COUNT, such as 300000:5000, or subuid")
    first, count = int(found[1]), int(found[2])
    if count < LEAST:
        raise BadRange(
            f"cannot use {where} {text!r}: {count} uids are too few; every dyno takes one, so give {LEAST} or more"
        )
    if first < LEAST_FIRST or first + count > LAST:
        raise BadRange(f"cannot use {where} {text!r}: uids must lie from {LEAST_FIRST} to {LAST - 1}")
    return UidRange(first + 1, count - 1)


def chosen(said: str | None, subuid: str) -> UidRange | None:
    """What is written in dynod.toml (None: nothing) and in /etc/subuid; None if neither says anything. Raise BadRange."""
    given = entry(subuid)
    if said is None or said == FROM_SUBUID:
        if given is not None:
            return read_uids(given, f"{USER}'s entry in {SUBUID}")
        if said is not None:
            raise BadRange(
                f'cannot use uids = "{said}": {SUBUID} has no entry of {USER}; add one: {USER}:300000:5000'
            )
        return None
    return read_uids(said, "uids")


def check_free(uids: UidRange, users: Iterable[tuple[str, int]], groups: Iterable[tuple[str, int]]) -> None:
    """Raise BadRange if one of them, or the slug user's, is somebody's."""
    ours = range(uids.first - 1, uids.first + uids.count)
    for kind, there in (("user", users), ("group", groups)):
        for name, number in there:
            if number in ours:
                raise BadRange(
                    f"cannot run dynos as uids {ours.start} to {ours.stop - 1}: {number} is the {kind} {name} of this machine; "
                    'set uids = "FIRST:COUNT" in dynod.toml to a range that is free'
                )


def all_users() -> tuple[tuple[str, int], ...]:
    return tuple((user.pw_name, user.pw_uid) for user in pwd.getpwall())


def all_groups() -> tuple[tuple[str, int], ...]:
    return tuple((group.gr_name, group.gr_gid) for group in grp.getgrall())
