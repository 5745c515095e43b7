"""Room: the disk, what keeps one dyno from filling it, uids that are nobody else's, and the time."""

import ctypes
import os
import pwd
import shutil
import time

from dynod.cli.doctor.check import Check, lines, standing
from dynod.host.uid_range import USER
from dynod.model.jail import Ceiling
from dynod.model.settings import Settings

DISK_BYTES = 2 * 1024**3
INODES = 100_000
BUILT_IN_2024 = 1_704_067_200  # a clock before this has never been set
_TIMEX_BYTES, _TIME_ERROR = 512, 5  # struct timex has 208; adjtimex(2)


def disk(settings: Settings) -> Check:
    """Slugs, caches and scratch need room, and inodes: node_modules is a hundred thousand files."""
    place = standing(settings.state)
    stat = os.statvfs(place)
    free, inodes = stat.f_bavail * stat.f_frsize, stat.f_favail
    ok = free >= DISK_BYTES and (inodes >= INODES or not stat.f_files)  # btrfs counts no inodes
    found = f"{free // 1024**2} MB and {inodes} inodes free below {place}"
    if stat.f_flag & os.ST_RDONLY:
        return Check(
            "disk",
            f"{place} is read-only",
            ok=False,
            remedy="mount -o remount,rw (dmesg may say why it is not)",
        )
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
    for line in lines("/proc/self/mountinfo"):
        point, _, of_all = line.split()[4], *line.rpartition(" - ")[1:]
        if f"{directory}/".startswith(f"{point.rstrip('/')}/") and len(point) >= len(best):
            best, options = point, of_all.split()[-1]
    return bool({"prjquota", "pquota"} & set(options.split(",")))


def uids(settings: Settings) -> Check:
    """Every dyno has a uid of its own, the slug user the one before: nobody else may be given them."""
    ours = range(settings.uid_first - 1, settings.uid_first + settings.uid_count)
    taken = [entry.pw_name for entry in pwd.getpwall() if entry.pw_uid in ours]
    for path in ("/etc/subuid", "/etc/subgid"):
        others = [line for line in lines(path) if line.partition(":")[0] != USER]
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
