"""Which config vars may be, and how a change of them is told (HEROKU.md 7.1). Making it a release is core/changes.py's."""

import re
from collections.abc import Mapping

from dynod.model.refused import Refusal, Refused

CONFIG_BYTES = 64 * 1024  # keys and values of one app together

BOOT_TIMEOUT = "DYNOD_BOOT_TIMEOUT"  # seconds until R10 for this app, whose support may ask for up to 180 at Heroku (HEROKU.md 1.5)
LONGEST_BOOT = 180

_KEY = re.compile(r"[A-Za-z0-9_]+")


def changed(
    config: Mapping[str, str], changes: Mapping[str, str | None]
) -> tuple[Mapping[str, str], str] | None:
    """Return the whole new map and the release's description; None if nothing would change; raise Refused."""
    put = {key: value for key, value in changes.items() if value is not None and config.get(key) != value}
    removed = [key for key, value in changes.items() if value is None and key in config]
    if not put and not removed:
        return None
    for key, value in put.items():
        _check(key, value)
    after = {key: value for key, value in config.items() if key not in removed} | put
    _check_size(after)
    return after, _description(list(put), removed)


def _check(key: str, value: str) -> None:
    if not _KEY.fullmatch(key):
        raise _refused(key, "its name may hold only letters, digits and underscores, and not be empty")
    if key.startswith("__"):
        raise _refused(key, "its name must not start with two underscores")
    if key.startswith("HEROKU_"):
        raise _refused(key, "names that start with HEROKU_ are the platform's own")
    if key == BOOT_TIMEOUT and _boot_seconds(value) is None:
        raise _refused(key, f"its value must be whole seconds, from 1 to {LONGEST_BOOT}")
    if "\0" in value:
        raise _refused(key, "its value must not hold a NUL character")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise _refused(key, "its value must be text that UTF-8 can write") from None


def _boot_seconds(value: str) -> int | None:
    seconds = (
        int(value) if value.isascii() and value.isdigit() and len(value) <= len(str(LONGEST_BOOT)) else 0
    )
    return seconds if 1 <= seconds <= LONGEST_BOOT else None


def boot_timeout(config: Mapping[str, str], default: float) -> float:
    """How long this app's web dynos may take to bind $PORT; what an older dynod let pass as a value counts as none."""
    return _boot_seconds(config.get(BOOT_TIMEOUT, "")) or default


def _check_size(config: Mapping[str, str]) -> None:
    size = sum(len(key.encode()) + len(value.encode()) for key, value in config.items())
    if size > CONFIG_BYTES:
        raise Refused(
            Refusal.INVALID,
            f"cannot set config vars: names and values would take {size} bytes together, "
            f"and an app may have {CONFIG_BYTES}; remove some, or keep large values elsewhere",
        )


def _refused(key: str, why: str) -> Refused:
    return Refused(Refusal.INVALID, f"cannot set config var {key!r}: {why}")


def _description(put: list[str], removed: list[str]) -> str:
    if not removed:
        return f"Set {', '.join(put)} config vars"
    if not put:
        return f"Remove {', '.join(removed)} config vars"
    return f"Set {', '.join(put)} and remove {', '.join(removed)} config vars"
