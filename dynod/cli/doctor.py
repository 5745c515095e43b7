"""`dynod doctor`: what this machine has, whether that is enough, and the remedy where it is not.

Only looks, changes nothing. Each check is a function that returns one `Check`; what cannot be looked at says so and counts
as missing. Status 0 when all that is needed is there, 1 when something needed is missing.
"""

import ctypes
import glob
import importlib.util
import json
import os
import pwd
import re
import shutil
import socket
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from dynod.host.config import BadSettings, parser, settings
from dynod.host.uid_range import USER
from dynod.model.jail import Ceiling
from dynod.model.resolver import CANDIDATES, dyno_resolver
from dynod.model.settings import Endpoint, Settings
from dynod.net.ipv6 import REMEDY, why_not
from dynod.net.survey import survey

CONTROLLERS = ("memory", "pids", "cpu")
IDMAPPED_LOWER = (5, 19)  # the first kernel whose overlayfs takes idmapped layers
DISK_BYTES = 2 * 1024**3
INODES = 100_000
BUILT_IN_2024 = 1_704_067_200  # a clock before this has never been set
_CLONE_NEWUSER = 0x10000000
_TIMEX_BYTES, _TIME_ERROR = 512, 5  # struct timex has 208; adjtimex(2)


@dataclass(frozen=True, slots=True)
class Check:
    """`needed` False: the platform runs without it, with less."""

    name: str
    found: str
    ok: bool
    remedy: str = ""
    needed: bool = True


def root(_: Settings) -> Check:
    """Dynos get their walls from root alone."""
    uid = os.geteuid()
    return Check("user", "root" if uid == 0 else f"uid {uid}", uid == 0, "run it as root: sudo dynod doctor")


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


def kernel(_: Settings) -> Check:
    """Slugs are shown to dynos through idmapped overlay layers."""
    release = os.uname().release
    numbers = re.match(r"(\d+)\.(\d+)", release)
    ok = numbers is not None and (int(numbers[1]), int(numbers[2])) >= IDMAPPED_LOWER
    return Check("kernel", release, ok, "install a kernel of 5.19 or later (Debian 12 has 6.1)")


def cgroups(_: Settings) -> Check:
    """Limits are put in force by v1 (hybrid hosts) or v2."""
    v2 = _words("/sys/fs/cgroup/cgroup.controllers")
    if v2 is not None:
        have, world = v2, "v2"
    else:
        rows = [line.split() for line in _lines("/proc/cgroups") if not line.startswith("#")]
        have, world = [row[0] for row in rows if row[3] == "1" and row[1] != "0"], "v1 (hybrid)"
    missing = [name for name in CONTROLLERS if name not in have]
    found = f"{world}: {', '.join(name for name in CONTROLLERS if name in have) or 'none of ours'}"
    remedy = f"no controller {', '.join(missing)}: boot with cgroup_enable={','.join(missing) or '...'}"
    return Check("cgroups", found, not missing, remedy)


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().splitlines()
    except OSError:
        return []


def _words(path: str) -> list[str] | None:
    lines = _lines(path)
    return lines[0].split() if lines else None


def overlay(_: Settings) -> Check:
    """A dyno's root is an overlay; the kernel loads the module at the first mount, if there is one to load."""
    loaded = any(line.split()[-1] == "overlay" for line in _lines("/proc/filesystems"))
    ok = loaded or any(
        "/overlay.ko" in line for line in _lines(f"/lib/modules/{os.uname().release}/modules.dep")
    )
    return Check(
        "overlayfs",
        "there" if ok else "no module",
        ok,
        "use a kernel that has overlayfs; modprobe overlay says more",
    )


def namespaces(_: Settings) -> Check:
    """Every wall is a namespace."""
    wanted = ("mnt", "pid", "net", "ipc", "uts", "cgroup", "user")
    missing = [name for name in wanted if not os.path.exists(f"/proc/self/ns/{name}")]
    found = f"missing: {', '.join(missing)}" if missing else ", ".join(wanted)
    return Check("namespaces", found, not missing, "use a kernel that has them; some containers hide them")


def user_namespaces(_: Settings) -> Check:
    """An idmapped mount takes its map from a user namespace: try to make one, in a child."""
    pid = os.fork()
    if pid == 0:
        os._exit(0 if ctypes.CDLL(None).unshare(_CLONE_NEWUSER) == 0 else 1)
    ok = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    return Check(
        "user namespaces", "can be made" if ok else "refused", ok, "sysctl user.max_user_namespaces=10000"
    )


def network(_: Settings) -> Check:
    """Dynos are wired with veth and kept apart with nftables."""
    modules = {line.split()[0] for line in _lines("/proc/modules")}
    built = " ".join(_lines(f"/lib/modules/{os.uname().release}/modules.builtin"))
    loadable = " ".join(_lines(f"/lib/modules/{os.uname().release}/modules.dep"))
    missing = [
        name
        for name in ("veth", "nf_tables")
        if name not in modules
        and f"/{name}.ko" not in built
        and f"/{name}.ko" not in loadable
        and not _in_kernel(name)
    ]
    found = f"not seen: {', '.join(missing)}" if missing else "veth, nf_tables"
    return Check("network", found, not missing, f"modprobe {' '.join(missing)}")


def ipv6(_: Settings) -> Check:
    """Dynos have IPv6 where forwarding takes nothing away from the machine."""
    try:
        why, _sign, remedy = why_not(survey().ipv6).partition(REMEDY)
    except OSError as error:
        why, remedy = f"cannot look: {error}", ""
    found = f"dynos have none: {why}" if why else "dynos have it"
    return Check("IPv6", found, not remedy, remedy, needed=False)


def _in_kernel(name: str) -> bool:
    symbol = {"veth": "veth_setup", "nf_tables": "nf_tables_newtable"}[name]
    return any(line.split()[2] == symbol for line in _lines("/proc/kallsyms"))


def _program(name: str, why: str, package: str, *, needed: bool) -> Callable[[Settings], Check]:
    def check(_: Settings) -> Check:
        path = shutil.which(name)
        return Check(
            name, path or "not found", path is not None, f"apt-get install {package} ({why})", needed
        )

    return check


def port(which: str) -> Callable[[Settings], Check]:
    """Make the check for one of the two addresses."""

    def check(settings: Settings) -> Check:
        endpoint: Endpoint = getattr(settings, which)
        remedy = f"stop who holds it, or choose another with --{which} HOST:PORT (fine if it is dynod itself)"
        with socket.socket(socket.AF_INET6 if ":" in endpoint.host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((endpoint.host, endpoint.port))
            except OSError as error:
                return Check(
                    f"{which} address", f"{endpoint}: {error.strerror}", ok=False, remedy=remedy, needed=False
                )
        return Check(f"{which} address", f"{endpoint} is free", ok=True)

    return check


def disk(settings: Settings) -> Check:
    """Slugs, caches and scratch need room, and inodes: node_modules is a hundred thousand files."""
    place = settings.state
    while not os.path.isdir(place):
        place = os.path.dirname(place)
    stat = os.statvfs(place)
    free, inodes = stat.f_bavail * stat.f_frsize, stat.f_favail
    ok = free >= DISK_BYTES and (inodes >= INODES or not stat.f_files)  # btrfs counts no inodes
    found = f"{free // 1024**2} MB and {inodes} inodes free below {place}"
    return Check("disk", found, ok, "free at least 2 GB and 100000 inodes, or use another --state DIR")


def ceiling(settings: Settings) -> Check:
    """What one dyno writes must not be the machine's end: project quotas, else images behind loop devices (docs/limits.md)."""
    name, way = "disk ceiling", Ceiling(settings.disk_ceiling)
    if way is Ceiling.NONE:
        return Check(
            name,
            "none, as dynod.toml has it: one dyno can fill the disk for all",
            ok=False,
            remedy='set disk_ceiling = "auto" in dynod.toml',
            needed=False,
        )
    quotas = _project_quotas(f"{settings.state}/dynos")
    if quotas or way is Ceiling.QUOTA:
        found = f"{'' if quotas else 'no '}project quotas in {settings.state}/dynos"
        return Check(
            name, found, quotas, 'mount it with prjquota, or set disk_ceiling = "auto" in dynod.toml'
        )
    mkfs = shutil.which("mkfs.ext4", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    loop = os.path.exists("/dev/loop-control")
    missing = [what for what, there in (("mkfs.ext4", mkfs), ("/dev/loop-control", loop)) if not there]
    found = f"missing: {', '.join(missing)}" if missing else "images behind loop devices"
    remedy = 'apt-get install e2fsprogs; modprobe loop; or, in dynod.toml, disk_ceiling = "none"'
    return Check(name, found, not missing, remedy)


def _project_quotas(directory: str) -> bool:
    """Whether what is mounted there, or above, was mounted with them."""
    best, options = "", ""
    for line in _lines("/proc/self/mountinfo"):
        point, _, of_all = line.split()[4], *line.rpartition(" - ")[1:]
        if f"{directory}/".startswith(f"{point.rstrip('/')}/") and len(point) >= len(best):
            best, options = point, of_all.split()[-1]
    return bool({"prjquota", "pquota"} & set(options.split(",")))


def clock(_: Settings) -> Check:
    """Certificates and releases carry times."""
    now = time.time()
    found = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now))
    return Check("clock", found, now > BUILT_IN_2024, "set the clock: timedatectl set-ntp true")


def clock_kept(_: Settings) -> Check:
    """Nobody's clock is right for long by itself: ask the kernel whether somebody corrects it."""
    kept = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES)) not in (-1, _TIME_ERROR)
    found = "kept by a time service" if kept else "corrected by nobody"
    return Check("time service", found, kept, "apt-get install systemd-timesyncd", needed=False)


def names(_: Settings) -> Check:
    """Builds fetch packages: dynos are given the machine's name servers, but those on its own loopback they cannot reach."""
    found = dyno_resolver("\n".join(_lines(path)) for path in CANDIDATES)
    ok = bool(found.nameservers)
    told = ", ".join(found.nameservers) if ok else "no name server that a dyno can reach"
    return Check("DNS", told, ok, "name one in /etc/resolv.conf that is not on 127.0.0.0/8", needed=False)


def uids(settings: Settings) -> Check:
    """Every dyno has a uid of its own, the slug user the one before: nobody else may be given them."""
    ours = range(settings.uid_first - 1, settings.uid_first + settings.uid_count)
    taken = [entry.pw_name for entry in pwd.getpwall() if entry.pw_uid in ours]
    for path in ("/etc/subuid", "/etc/subgid"):
        others = [line for line in _lines(path) if line.partition(":")[0] != USER]
        taken += [f"{line.partition(':')[0]} in {path}" for line in others if _overlaps(line, ours)]
    found = f"{ours.start} to {ours.stop - 1}" + (f", also given to {', '.join(taken)}" if taken else "")
    return Check(
        "uids of dynos",
        found,
        not taken,
        'set uids = "FIRST:COUNT" in dynod.toml to a free range',
        needed=False,
    )


def _overlaps(line: str, ours: range) -> bool:
    fields = line.split(":")
    if len(fields) != 3 or not (fields[1].isdigit() and fields[2].isdigit()):
        return False
    first, count = int(fields[1]), int(fields[2])
    return first < ours.stop and ours.start < first + count


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


def reader(_: Settings) -> Check:
    """The router reads heads with a compiled part, where there is one."""
    there = importlib.util.find_spec("router_heads") is not None
    found = "compiled" if there else "Python's, which takes half as much time again"
    return Check("router's reader", found, there, "apt-get install gcc python3-dev, then make", needed=False)


CHECKS: tuple[Callable[[Settings], Check], ...] = (
    root,
    users,
    kernel,
    cgroups,
    overlay,
    namespaces,
    user_namespaces,
    network,
    ipv6,
    _program("git", "pushes", "git", needed=True),
    _program("python3", "builds of Python apps", "python3", needed=True),
    pip,
    _program("node", "builds of Node.js apps", "nodejs npm", needed=False),
    _program("npm", "builds of Node.js apps", "npm", needed=False),
    port("api"),
    port("router"),
    names,
    uids,
    disk,
    ceiling,
    clock,
    clock_kept,
    reader,
)


def examine(settings: Settings) -> list[Check]:
    """Run every check."""
    return [check(settings) for check in CHECKS]


def _print(checks: Sequence[Check]) -> None:
    width = max(len(check.name) for check in checks)
    for check in checks:
        mark = "ok" if check.ok else "MISSING" if check.needed else "note"
        print(f"{mark:<8} {check.name:<{width}}  {check.found}")
        if not check.ok:
            print(f"{'':<8} {'':<{width}}  -> {check.remedy}")


def main(argv: Sequence[str]) -> int:
    """0 when all that is needed is there, 1 when not, 2 for wrong usage."""
    flags = parser("dynod doctor", "Say what this machine has, what is missing and how to get it.")
    flags.add_argument("--json", action="store_true", help="print JSON")
    given = flags.parse_args(argv)
    try:
        checks = examine(settings(vars(given)))
    except BadSettings as error:
        print(f"dynod: {error}", file=sys.stderr)
        return 2
    if given.json:
        print(json.dumps([asdict(check) for check in checks], indent=2))
    else:
        _print(checks)
    return 0 if all(check.ok or not check.needed for check in checks) else 1
