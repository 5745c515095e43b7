"""`dynod doctor`: what this machine has, whether that is enough, and the remedy where it is not (docs/doctor.md).

Changes nothing; what must be tried is tried where it ends with the trial. Each check is a function that returns one `Check` or several;
what cannot be looked at says so and counts as missing. Status 0 when all that is needed is there, 1 when something needed is
missing. `make run`, `make install` and the dyno host's unit ask it before anything is started.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict

from dynod.cli.doctor import kernel, places, programs, reach
from dynod.cli.doctor.check import Check
from dynod.host.config import BadSettings, parser, settings
from dynod.model.settings import Settings

__all__ = ["CHECKS", "Check", "examine", "lacking", "main", "report"]

Checking = Callable[[Settings], Check | tuple[Check, ...]]
_program = programs.program
CHECKS: tuple[Checking, ...] = (
    kernel.root,
    programs.users,
    kernel.kernel,
    kernel.cgroups,
    kernel.walls,
    kernel.wires,
    reach.ipv6,
    reach.firewalls,
    _program("nft", "dynos are kept apart with it", "nftables", needed=True),
    _program("git", "pushes", "git", needed=True),
    _program("tar", "builds keep their caches with it", "tar", needed=True),
    _program("python3", "builds of Python apps", "python3", needed=True),
    programs.pip,
    _program("node", "builds of Node.js apps", "nodejs npm", needed=False),
    _program("npm", "builds of Node.js apps", "npm", needed=False),
    reach.port("api"),
    reach.port("router"),
    reach.port("router_tls"),
    reach.port("metrics"),
    reach.names,
    places.uids,
    places.disk,
    places.ceiling,
    places.clock,
    places.clock_kept,
    programs.router_parts,
    programs.init,
)


def examine(settings: Settings, checks: Iterable[Checking] | None = None) -> list[Check]:
    """Run every check."""
    return [each for check in (CHECKS if checks is None else checks) for each in _ask(check, settings)]


def _ask(check: Checking, settings: Settings) -> tuple[Check, ...]:
    try:
        told = check(settings)
    except OSError as error:
        return (Check(check.__name__, f"cannot look: {error}", ok=False, remedy="run it as root"),)
    return told if isinstance(told, tuple) else (told,)


def lacking(checks: Iterable[Check]) -> list[str]:
    """Name what is needed and not there."""
    return [check.name for check in checks if check.needed and not check.ok]


def report(checks: Sequence[Check]) -> Iterator[str]:
    """Say it in lines for people."""
    width = max((len(check.name) for check in checks), default=0)
    for check in checks:
        mark = "ok" if check.ok else "MISSING" if check.needed else "note"
        yield f"{mark:<8} {check.name:<{width}}  {check.found}"
        if not check.ok:
            yield f"{'':<8} {'':<{width}}  -> {check.remedy}"


def main(argv: Sequence[str]) -> int:
    """0 when all that is needed is there, 1 when not, 2 for wrong usage."""
    flags = parser("dynod doctor", "Say what this machine has, what is missing and how to get it.")
    flags.epilog = "status 0: all that is needed is there; 1: something needed is missing; 2: wrong usage"
    flags.add_argument("--json", action="store_true", help="print JSON: one object for each check")
    flags.add_argument("--brief", action="store_true", help="say nothing of what is well")
    flags.add_argument("--offline", action="store_true", help="ask no name server")
    given = flags.parse_args(argv)
    try:
        checks = _found(settings(vars(given)), given)
    except BadSettings as error:
        print(f"dynod: {error}", file=sys.stderr)
        return 2
    shown = [check for check in checks if not (given.brief and check.ok)]
    if given.json:
        print(json.dumps([asdict(check) for check in shown], indent=2))
    else:
        for line in report(shown):
            print(line)
    return 1 if lacking(checks) else 0


def _found(settings: Settings, given: argparse.Namespace) -> list[Check]:
    return examine(settings, [check for check in CHECKS if not (given.offline and check is reach.names)])
