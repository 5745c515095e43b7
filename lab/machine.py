"""A lab machine while it runs: qemu, its disks, and the way in (`run`). One `Machine` is one directory under the cache.

`start` boots, `run` runs a program inside, `cut` pulls the plug, `stop` shuts down in order. Acceleration is what a probe
found: nested KVM may be there and hang all the same, so a boot is tried under a cap, once, and the answer is kept.
"""

import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lab.image import ROOT, Base, base
from lab.way import Done, LabError, Way

CACHE = (ROOT / ".cache/lab").resolve()
BOOT_CAP = 900.0  # seconds until the way in is open; one of them took 300 on a machine ten times as busy as it has processors
KVM_CAP = 40.0
STOP_CAP = 90.0
PID = "qemu.pid"
TCG = ("-accel", "tcg,thread=multi,tb-size=512", "-cpu", "max")
KVM = ("-accel", "kvm", "-cpu", "host")


@dataclass(frozen=True, slots=True)
class Ports:
    """Ports of this machine's loopback that lead inside; 0 takes a free one."""

    router: int = 0
    api: int = 0


@dataclass(slots=True)
class Machine:
    """`home`: its directory, with disk.qcow2 on top of the base image; `extra`: sizes of further disks (vdb, vdc, ...)."""

    home: Path
    ports: Ports = Ports()
    memory: int = 2048
    extra: tuple[str, ...] = ()
    accel: tuple[str, ...] = ()
    backing: Path | None = None  # another disk than the base image's to start from
    _qemu: "subprocess.Popen[bytes] | None" = None
    _way: "Way | None" = None
    _base: Base | None = None
    _lock: int = field(default=-1)

    # -- its life ------------------------------------------------------------------------------------------------------

    def start(self, cap: float = BOOT_CAP) -> float:
        """Boot, or boot again; return the seconds until the way in was open. Raise LabError."""
        self.home.mkdir(parents=True, exist_ok=True)
        self._hold()
        # The recipe may change while a machine lives; its disk does not.
        made = self._base = self._base or base(CACHE)
        self._disks(made)
        self.accel = self.accel or acceleration()
        if not (self.ports.router and self.ports.api):
            self.ports = Ports(self.ports.router or _free_port(), self.ports.api or _free_port())
        (self.home / "out").mkdir(exist_ok=True)
        (self.home / "agent.sock").unlink(missing_ok=True)
        self.leave()
        began = time.monotonic()
        with open(self.home / "console.log", "ab") as console:
            self._qemu = subprocess.Popen(
                self._argv(made),
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
            )
        (self.home / PID).write_text(f"{self._qemu.pid}\n")  # for `lab cut`, another process
        self.enter(cap)
        return time.monotonic() - began

    def _hold(self) -> None:
        if self._lock < 0:
            self._lock = os.open(self.home / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(self._lock)
                self._lock = -1
                raise LabError(f"cannot start the machine in {self.home}: it runs already") from None

    def _disks(self, made: Base) -> None:
        if not (self.home / "disk.qcow2").exists():
            under, kind = (str(self.backing), "qcow2") if self.backing else (made.disk, "raw")
            _tool(
                "qemu-img",
                "create",
                "-q",
                "-f",
                "qcow2",
                "-b",
                under,
                "-F",
                kind,
                str(self.home / "disk.qcow2"),
            )
        for number, size in enumerate(self.extra):
            if not (path := self.home / f"extra{number}.raw").exists():
                _tool("qemu-img", "create", "-q", "-f", "raw", str(path), size)

    def _argv(self, made: Base) -> list[str]:
        disks = [
            ("disk.qcow2", "qcow2"),
            *((f"extra{number}.raw", "raw") for number in range(len(self.extra))),
        ]
        inside = (("router", self.ports.router, 8080), ("api", self.ports.api, 5000))
        forwards = "".join(f",hostfwd=tcp:127.0.0.1:{outside}-:{port}" for _, outside, port in inside)
        return [
            *("qemu-system-x86_64", *self.accel, "-smp", "2", "-m", str(self.memory)),
            *("-display", "none", "-monitor", "none", "-serial", "stdio", "-no-reboot", "-nodefaults"),
            *("-kernel", made.kernel, "-initrd", made.initrd, "-append", COMMAND_LINE),
            *(
                word
                for name, kind in disks
                for word in (
                    "-drive",
                    f"file={self.home / name},format={kind},if=virtio,cache=none,aio=threads",
                )
            ),
            *("-virtfs", f"local,path={ROOT},mount_tag=tree,security_model=none,readonly=on,multidevs=remap"),
            *("-virtfs", f"local,path={self.home / 'out'},mount_tag=out,security_model=none,multidevs=remap"),
            *("-nic", f"user,model=virtio-net-pci{forwards}"),
            *(
                "-device",
                "virtio-serial",
                "-chardev",
                f"socket,id=way,path={self.home / 'agent.sock'},server=on,wait=off",
            ),
            *("-device", "virtserialport,chardev=way,name=dynod.lab", "-device", "virtio-rng-pci"),
        ]

    def _dead(self) -> str:
        """Say why qemu ended, or nothing while it runs."""
        if self._qemu is None:
            return "the plug was pulled"
        if self._qemu.poll() is None:
            return ""
        return f"qemu ended with {self._qemu.returncode}; from its console:\n{self.console()}"

    def console(self, count: int = 20) -> str:
        """Return the last lines that the machine's console showed."""
        text = (self.home / "console.log").read_text(errors="replace")
        return "\n".join(text.splitlines()[-count:])

    @property
    def out(self) -> Path:
        """Files that the inside wrote to /srv/out."""
        return self.home / "out"

    @property
    def runs(self) -> bool:
        return self._qemu is not None and self._qemu.poll() is None

    @property
    def pid(self) -> int:
        assert self._qemu is not None
        return self._qemu.pid

    def cut(self) -> None:
        """Pull the plug: SIGKILL to qemu. What the guest had not written to its disk is gone (cache=none)."""
        self.leave()
        if self._qemu is not None:
            self._qemu.kill()
            self._qemu.wait()
            self._qemu = None

    def pull(self) -> None:
        """Pull the plug while another thread still waits for an answer from inside: it hears that the machine is gone."""
        assert self._qemu is not None
        self._qemu.kill()
        self._qemu.wait()
        self._qemu = None

    def stop(self) -> None:
        """Shut down in order; pull the plug when that takes too long."""
        if self._qemu is None:
            return
        with contextlib.suppress(LabError):
            self.run("systemctl", "poweroff", cap=30)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._qemu.wait(STOP_CAP)
        self.cut()

    def close(self) -> None:
        """End it in any case, and let go of its directory."""
        self.cut()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def wait(self) -> None:
        """Wait until the machine has ended by itself."""
        if self._qemu is not None:
            self._qemu.wait()

    def leave(self) -> None:
        """Close the way in, for another process to use."""
        if self._way is not None:
            self._way.close()
            self._way = None

    def enter(self, cap: float = BOOT_CAP) -> None:
        """Open the way in (again, after `leave`)."""
        self._way = Way(self.home / "agent.sock", self._dead)
        self._way.open(cap)

    # -- what it does --------------------------------------------------------------------------------------------------

    def run(
        self,
        *argv: str,
        stdin: bytes = b"",
        cwd: str = "",
        env: Mapping[str, str] | None = None,
        cap: float = 600.0,
    ) -> Done:
        """Run a program inside and wait for its end; raise LabError when the machine goes away or `cap` seconds pass."""
        if self._way is None:
            raise LabError("cannot run anything: the machine does not run")
        return self._way.run(argv, stdin, cwd, env or {}, cap, lambda *_: None)

    def hear(self, argv: Sequence[str], cap: float, hear: Callable[[str, bytes], None]) -> int:
        """Run a program inside whose output is heard as it comes; return its status."""
        if self._way is None:
            raise LabError("cannot run anything: the machine does not run")
        return self._way.run(argv, b"", "", {}, cap, hear).status

    def sh(self, script: str, cap: float = 600.0) -> str:
        """Run a shell script inside, which must succeed; return what it printed."""
        done = self.run("bash", "-euc", script, cap=cap)
        if done.status != 0:
            raise LabError(
                f"inside, status {done.status} from: {script}\n{done.out[-3000:]}{done.err[-3000:]}"
            )
        return done.out


COMMAND_LINE = (
    "root=/dev/vda rw console=ttyS0 quiet loglevel=4 net.ifnames=0 mitigations=off nokaslr random.trust_cpu=on "
    "systemd.show_status=no panic=-1 audit=0 apparmor=0"
)


def cut_from_outside(home: Path) -> None:
    """Pull the plug of a machine that another process has started; raise LabError."""
    try:
        pid = int((home / PID).read_text())
        argv = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except (OSError, ValueError):
        argv = []
    if not any(f"{home}/" in word for word in argv):
        raise LabError(f"cannot pull the plug: no machine runs in {home}; make lab starts one")
    os.kill(pid, signal.SIGKILL)


def acceleration() -> tuple[str, ...]:
    """Return qemu's words for KVM where a machine really boots with it, else for TCG; asked once per cache."""
    noted = CACHE / "accel"
    if not noted.exists():
        noted.write_text("kvm" if os.access("/dev/kvm", os.R_OK | os.W_OK) and _boots(KVM) else "tcg")
    return KVM if noted.read_text() == "kvm" else TCG


def _boots(accel: tuple[str, ...]) -> bool:
    probe = Machine(CACHE / "probe", accel=accel)
    try:
        probe.start(KVM_CAP)
    except LabError:
        return False
    else:
        return True
    finally:
        probe.close()
        _tool("rm", "-rf", str(probe.home))


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def _tool(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LabError(f"cannot {argv[0]}: {done.stderr.strip()}")
