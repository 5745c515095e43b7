"""What the kernel must have, and let us do: whose walls and wires can be tried is tried, by who makes them (dynod/jail/trial.py,
dynod/net/trial.py), since a list of modules tells nothing of a container that may not use them.
"""

import errno
import json
import os
import re
import subprocess
import sys

from dynod.cli.doctor.check import Check, lines, standing
from dynod.model.settings import Settings

CONTROLLERS = ("memory", "pids", "cpu")
IDMAPPED_LOWER = (5, 19)  # the first kernel whose overlayfs takes idmapped layers
CGROUPS = "/sys/fs/cgroup"
PATIENCE = 30.0  # seconds for a trial: the dyno host's start waits for it
CAPABILITIES = {
    "CAP_CHOWN": 0,
    "CAP_DAC_OVERRIDE": 1,
    "CAP_DAC_READ_SEARCH": 2,
    "CAP_FOWNER": 3,
    "CAP_FSETID": 4,
    "CAP_KILL": 5,
    "CAP_SETGID": 6,
    "CAP_SETUID": 7,
    "CAP_SETPCAP": 8,
    "CAP_NET_ADMIN": 12,
    "CAP_SYS_CHROOT": 18,
    "CAP_SYS_PTRACE": 19,
    "CAP_SYS_ADMIN": 21,
    "CAP_SYS_NICE": 23,
    "CAP_MKNOD": 27,
    "CAP_SETFCAP": 31,
}  # what walls take: systemd/dyno-host.service has these, and one that is no more than welcome
OUTSIDE = "this looks like a container: run it on the machine itself, or in a virtual one"
_WHOLE_MAP = ["0", "0", "4294967295"]  # of the machine's own user namespace: user_namespaces(7)
_REFUSED = (os.strerror(errno.EPERM), os.strerror(errno.EACCES))
_WALLS = {
    "namespaces": "use a kernel that has them",
    "user namespaces": "sysctl -w user.max_user_namespaces=10000",
    "idmapped mounts": "put the state on ext4, XFS or Btrfs: --state DIR",
    "overlayfs": "use a kernel that has it: modprobe overlay says more",
    "seccomp": "use a kernel with CONFIG_SECCOMP_FILTER, on x86-64 or arm64",
}
_WIRES = {
    "veth": "use a kernel that has it: modprobe veth says more",
    "nftables": "apt-get install nftables; use a kernel that has it: modprobe -a nf_tables nft_fib_inet nft_masq says more",
}


def root(_: Settings) -> Check:
    """Dynos get their walls from root alone, and from one who is not a container's."""
    name = "user"
    if uid := os.geteuid():
        return Check(name, f"uid {uid}", ok=False, remedy="run it as root: sudo dynod doctor")
    if (map_ := " ".join(lines("/proc/self/uid_map")).split()) and map_ != _WHOLE_MAP:
        return Check(name, "root of a user namespace alone", ok=False, remedy=OUTSIDE)
    masks = [int(line.split()[1], 16) for line in lines("/proc/self/status") if line.startswith("CapEff:")]
    missing = [name for name, bit in CAPABILITIES.items() if not all(mask >> bit & 1 for mask in masks)]
    found = f"root without {', '.join(missing)}" if missing else "root"
    return Check(name, found, not missing, OUTSIDE)


def kernel(_: Settings) -> Check:
    """Slugs are shown to dynos through idmapped overlay layers."""
    release = os.uname().release
    numbers = re.match(r"(\d+)\.(\d+)", release)
    ok = numbers is not None and (int(numbers[1]), int(numbers[2])) >= IDMAPPED_LOWER
    return Check("kernel", release, ok, "install a kernel of 5.19 or later (Debian 12 has 6.1)")


def cgroups(_: Settings) -> Check:
    """Limits are put in force by v1 (hybrid hosts) or v2, in groups that we can make."""
    there = lines(f"{CGROUPS}/cgroup.controllers")
    world = "v2" if there or os.path.exists(f"{CGROUPS}/cgroup.controllers") else "v1 (hybrid)"
    if world == "v2":
        have, places = " ".join(there).split(), [CGROUPS]
    else:
        have = [name for name in CONTROLLERS if os.path.exists(f"{CGROUPS}/{name}/tasks")]
        places = [f"{CGROUPS}/{name}" for name in have]
    missing = [name for name in CONTROLLERS if name not in have]
    found = f"{world}: {', '.join(name for name in CONTROLLERS if name in have) or 'none of ours'}"
    if missing:
        return Check("cgroups", found, ok=False, remedy=_controllers(world, missing))
    closed = [place for place in places if not os.access(place, os.W_OK)]
    if closed and not os.geteuid():
        return Check("cgroups", f"{found}; {closed[0]} cannot be written to", ok=False, remedy=OUTSIDE)
    return Check("cgroups", found, ok=True)


def _controllers(world: str, missing: list[str]) -> str:
    off = [row[0] for row in map(str.split, lines("/proc/cgroups")) if row[0] in missing and row[3] == "0"]
    if world == "v2" or off:
        names = ",".join(off or missing)
        return f"boot with cgroup_enable={names}, and without cgroup_disable={names}"
    return "; ".join(f"mount -t cgroup -o {name} {name} {CGROUPS}/{name}" for name in missing)


def walls(settings: Settings) -> tuple[Check, ...]:
    """Make one of each, as for a dyno whose files lie where the state is, or will be."""
    return _tried("dynod.jail.trial", _WALLS, standing(settings.state))


def wires(_: Settings) -> tuple[Check, ...]:
    """Make a cable and the firewall's table, in a network namespace that ends with the trial."""
    return _tried("dynod.net.trial", _WIRES)


def _tried(module: str, remedies: dict[str, str], *words: str) -> tuple[Check, ...]:
    if os.geteuid():
        return tuple(
            Check(name, "not tried: that takes root", ok=False, remedy="sudo dynod doctor", needed=False)
            for name in remedies
        )
    argv = [sys.executable, "-P", "-m", module, *words]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        late = f"tried, and not done within {PATIENCE:g} s"
        return tuple(Check(name, late, ok=False, remedy=remedy) for name, remedy in remedies.items())
    try:
        told = {str(name): str(why) for name, why in json.loads(done.stdout).items()}
    except ValueError:
        told = {}
    last = done.stderr.strip().rpartition("\n")[2] or f"it ended with {done.returncode}"
    return tuple(
        Check(name, why or "tried, works", not why, OUTSIDE if why.endswith(_REFUSED) else remedy)
        for name, remedy in remedies.items()
        for why in [told.get(name, f"cannot be tried: {last}")]
    )
