"""What the lab does to a machine on purpose. Each fault is a value that says how to bring it about inside and how to take it away.

The plug is pulled by Machine.cut, memory is a flag of the machine; here is what happens within: disks that lie, fill or err (device
mapper), clocks that jump, networks that dawdle (netem).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from lab.machine import Machine
from lab.way import LabError


@dataclass(frozen=True, slots=True)
class Fault:
    """Two shell scripts."""

    begin: str
    end: str


def full(directory: str, left: int = 0) -> Fault:
    """Fill the file system of a directory, down to `left` bytes."""
    block = f"{directory}/.lab-full"
    return Fault(
        f"free=$(df --output=avail -B1 {directory} | tail -1); size=$((free - {left})); "
        f"[ $size -le 0 ] || fallocate -l $size {block} 2>/dev/null || dd if=/dev/zero of={block} bs=1M status=none || true; sync -f {directory}",
        f"rm -f {block}; sync -f {directory}",
    )


def clock(seconds: int) -> Fault:
    """Set the clock forward or back, and back again by as much."""
    return Fault(f"date -s @$(($(date +%s) + {seconds}))", f"date -s @$(($(date +%s) - {seconds}))")


def slow_network(delay: str = "200ms 50ms", loss: str = "1%", interface: str = "eth0") -> Fault:
    """Delay and lose packets that leave through an interface."""
    return Fault(
        f"tc qdisc replace dev {interface} root netem delay {delay} loss {loss}",
        f"tc qdisc del dev {interface} root",
    )


def memory(service: str, limit: str) -> Fault:
    """Give a service no more than `limit` of memory."""
    return Fault(
        f"systemctl set-property --runtime {service} MemoryMax={limit}",
        f"systemctl set-property --runtime {service} MemoryMax=infinity",
    )


@contextmanager
def inflicted(machine: Machine, fault: Fault) -> Iterator[None]:
    """Have a fault in force for a while."""
    machine.sh(fault.begin)
    try:
        yield
    finally:
        machine.sh(fault.end)


@dataclass(frozen=True, slots=True)
class Disk:
    """A further disk behind the device mapper: healthy, slow, erring, or forgetting what was not synced. `name`: under /dev/mapper."""

    device: str = "/dev/vdb"
    name: str = "lab"

    def make(self, directory: str) -> str:
        """Return the script that makes a file system on it and mounts it on a directory, which it empties of what lies below."""
        return (
            f"modprobe dm_flakey; modprobe dm_delay; mkfs.ext4 -q -F {self.device}; "
            f'dmsetup create {self.name} --table "{self.linear()}"; mkdir -p {directory}; '
            f"mount /dev/mapper/{self.name} {directory}"
        )

    def healthy(self) -> str:
        return self._load(self.linear())

    def slow(self, read: int, write: int) -> str:
        """Every read and write takes so many milliseconds more."""
        return self._load(
            f"0 $(blockdev --getsz {self.device}) delay {self.device} 0 {read} {self.device} 0 {write}"
        )

    def erring(self) -> str:
        """Reads are answered, writes fail with EIO."""
        return self._load(f"0 $(blockdev --getsz {self.device}) flakey {self.device} 0 0 3600 1 error_writes")

    def forgetting(self) -> str:
        """Writes are thrown away without a word, as a disk does whose cache loses its power."""
        return self._load(f"0 $(blockdev --getsz {self.device}) flakey {self.device} 0 0 3600 1 drop_writes")

    def linear(self) -> str:
        """Return the device mapper's table of a healthy disk, for a shell to finish."""
        return f"0 $(blockdev --getsz {self.device}) linear {self.device} 0"

    def _load(self, table: str) -> str:
        # --nolockfs: a suspend would else sync the file system first, and nothing would be lost
        return (
            f'dmsetup suspend --nolockfs {self.name}; dmsetup load {self.name} --table "{table}"; '
            f"dmsetup resume {self.name}"
        )


DISK = Disk()
SPOKEN: dict[str, tuple[str, Callable[..., Fault]]] = {
    "full": ("[DIRECTORY]: fill its file system", lambda directory="/var/lib/dynod": full(directory)),
    "clock": ("SECONDS: set it forward, or back by a number below 0", lambda seconds: clock(int(seconds))),
    "network": (
        "[INTERFACE]: 200 ms, and one packet of 100 lost",
        lambda name="eth0": slow_network(interface=name),
    ),
    "memory": ("SERVICE LIMIT: give a service no more, as in: memory dynod 24M", memory),
    "slow-disk": (
        "[MILLISECONDS]: every read and write takes so much longer",
        lambda ms="200": Fault(DISK.slow(int(ms), int(ms)), DISK.healthy()),
    ),
    "erring-disk": (": writes fail", lambda: Fault(DISK.erring(), DISK.healthy())),
    "forgetting-disk": (": writes are thrown away", lambda: Fault(DISK.forgetting(), DISK.healthy())),
}


def spoken(words: Sequence[str]) -> Fault:
    """Make what a person says into a fault; raise LabError."""
    name, *more = words
    try:
        return SPOKEN[name][1](*more)
    except (KeyError, TypeError, ValueError):
        every = "; ".join(f"{name} {about}" for name, (about, _) in SPOKEN.items()).replace(" : ", ": ")
        raise LabError(f"cannot do {' '.join(words)!r}; there is {every}") from None
