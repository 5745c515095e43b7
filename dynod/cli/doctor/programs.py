"""Programs and users: what pushes, builds and the platform's own parts call."""

import glob
import importlib.util
import os
import pwd
import shutil
import sys
from collections.abc import Callable

from dynod.cli.doctor.check import Check
from dynod.model.settings import Settings


def program(name: str, why: str, package: str, *, needed: bool) -> Callable[[Settings], Check]:
    """Make the check for one of them."""

    def check(_: Settings) -> Check:
        path = shutil.which(name)
        return Check(
            name, path or "not found", path is not None, f"apt-get install {package} ({why})", needed
        )

    return check


def users(_: Settings) -> Check:
    """In production what need not be root is not."""
    wanted = ("dynod", "dynod-log", "dynod-router")
    missing = [name for name in wanted if not _user(name)]
    found = f"missing: {', '.join(missing)}" if missing else ", ".join(wanted)
    remedy = "make install makes them; without it every program runs as who starts it"
    return Check("users of the programs", found, not missing, remedy, needed=False)


def _user(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def pip(_: Settings) -> Check:
    """Builds of Python apps make virtual environments with Debian's Python."""
    found = glob.glob("/usr/lib/python3*/ensurepip/__init__.py")
    told = os.path.dirname(found[0]) if found else "no ensurepip"
    return Check(
        "python3 -m venv",
        told,
        bool(found),
        "apt-get install python3-venv (builds of Python apps)",
        needed=False,
    )


def router_parts(_: Settings) -> Check:
    """The router reads heads and shakes hands with compiled parts, where there are such."""
    missing = [name for name in ("heads", "hands") if importlib.util.find_spec(f"router_{name}") is None]
    found = f"Python's own for {' and '.join(missing)}, which take longer" if missing else "compiled"
    return Check(
        "router's parts", found, not missing, "apt-get install gcc python3-dev, then make", needed=False
    )


def init(_: Settings) -> Check:
    """PID 1 of dynos is compiled, where it could be."""
    there = os.path.exists(f"{os.path.dirname(sys.executable)}/dyno-init")
    found = "compiled" if there else "Python's, which takes 2.7 MB more for each"
    return Check("PID 1 of dynos", found, there, "apt-get install gcc libc6-dev, then make", needed=False)
