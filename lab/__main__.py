"""`make lab`, `make lab-run CMD=...`, `make box`: bring the machine up with the platform in it, run a program inside, pack it; and
`python -m lab fault ...`, `python -m lab cut`: break it.
"""

import argparse
import contextlib
import hashlib
import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from lab import faults
from lab.box import pack
from lab.image import ROOT, CannotBuild, base, digest
from lab.machine import CACHE, Machine, Ports, acceleration, cut_from_outside
from lab.way import LabError, Way

ROUTER, API = 8080, 5000
INSTALL = "make -C /srv/dynod install ROUTER=0.0.0.0:8080 API=0.0.0.0:5000"
# The state moves to a disk of its own, once; at each later boot it is mounted before anything of the platform starts.
APART = f"""[ ! -e /etc/systemd/system/lab-disk.service ] || exit 0
systemctl stop dynod.target 'dyn*.service' 'dyn*.socket'
mv /var/lib/dynod /root/state
{faults.DISK.make("/var/lib/dynod")}
cp -a /root/state/. /var/lib/dynod/
cat >/usr/local/sbin/lab-disk <<'END'
#!/bin/sh
set -e
modprobe -a dm_flakey dm_delay
dmsetup create lab --table "{faults.DISK.linear()}"
mount /dev/mapper/lab /var/lib/dynod
END
chmod 755 /usr/local/sbin/lab-disk
cat >/etc/systemd/system/lab-disk.service <<'END'
[Unit]
DefaultDependencies=no
Requires=dev-vdb.device
After=dev-vdb.device systemd-remount-fs.service
Before=local-fs.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/local/sbin/lab-disk
[Install]
RequiredBy=local-fs.target
END
systemctl daemon-reload
systemctl enable -q lab-disk.service
"""
SOURCES = ("pyproject.toml", "dynod", "router", "slugc", "systemd")


def sources() -> str:
    """Name what `make install` would put on a machine."""
    sums = hashlib.sha256()
    for name in SOURCES:
        top = ROOT / name
        for path in [top] if top.is_file() else sorted(top.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                sums.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    return sums.hexdigest()[:12]


def installed(say: bool = True) -> Path:
    """Return a disk on which today's platform is installed and has served once; made now if there is none."""
    name = f"installed-{digest()}-{sources()}"
    disk = CACHE / name / "disk.qcow2"
    if (CACHE / name / "done").exists():
        return disk
    for old in CACHE.glob("installed-*"):
        subprocess.run(["rm", "-rf", str(old)], check=True)
    machine = Machine(CACHE / name)
    try:
        seconds = machine.start()
        if say:
            print(f"lab: booted in {seconds:.0f} s, installing (some minutes without KVM)", flush=True)
        machine.sh(INSTALL, cap=1800)
        machine.stop()
    finally:
        machine.close()
    (CACHE / name / "done").touch()
    return disk


def up(given: argparse.Namespace) -> int:
    """Run the machine in front until Ctrl-C; its disk is kept for the next time."""
    apart = (_home() / "extra0.raw").exists()
    extra = (given.state_disk or "2G",) if given.state_disk or apart else ()
    machine = Machine(_home(), ports=Ports(given.router, given.api), memory=given.memory, extra=extra)
    machine.backing = installed()
    if given.fresh or _stale(machine.home, machine.backing) or (given.state_disk and not apart):
        subprocess.run(["rm", "-rf", str(machine.home)], check=True)
    try:
        seconds = machine.start()
        (machine.home / "backing").write_text(str(machine.backing))
        if given.state_disk:
            machine.sh(APART)
        machine.sh("systemctl is-active --wait dynod.target >/dev/null || systemctl start dynod.target")
        print(
            f"lab: serves after {seconds:.0f} s\n"
            f"  apps   http://127.0.0.1:{given.router}/ (Host: APP.localhost)\n"
            f"  API    https://127.0.0.1:{given.api}/\n"
            f'  inside make lab-run CMD="dyno apps"; files in /srv/out come to {machine.out}\n'
            "  broken .venv/bin/python -m lab fault clock 86400 (and others; --end mends it), .venv/bin/python -m lab cut\n"
            "  Ctrl-C shuts it down",
            flush=True,
        )
        machine.leave()  # the way in is lab-run's
        machine.wait()
    except KeyboardInterrupt:
        print("lab: shutting down", flush=True)
        machine.enter()
        machine.stop()
    finally:
        machine.close()
    return 0


def _home() -> Path:
    """Where the machine of `make lab` lives."""
    return CACHE / f"lab-{digest()}"


def _stale(home: Path, backing: Path) -> bool:
    noted = home / "backing"
    return not noted.exists() or noted.read_text() != str(backing)


def run(given: argparse.Namespace) -> int:
    """Run a command inside the machine of `make lab`, or in one of its own; its output and status are ours."""
    argv = (
        ["bash", "-c", shlex.join(given.command)]
        if len(given.command) != 1
        else ["bash", "-c", given.command[0]]
    )
    with contextlib.closing(Way(_home() / "agent.sock", lambda: "")) as way:
        try:
            way.open(5)
            return way.run(argv, b"", "", {}, given.cap, _pass_on).status
        except LabError:
            pass  # no machine runs
    machine = Machine(CACHE / "one-off", backing=installed())
    subprocess.run(["rm", "-rf", str(machine.home)], check=True)
    try:
        machine.start()
        status = machine.hear(argv, given.cap, _pass_on)
        for path in sorted(machine.out.iterdir()):
            print(f"lab: brought back {path}", file=sys.stderr)
        machine.stop()
    finally:
        machine.close()
    return status


def _pass_on(kind: str, data: bytes) -> None:
    out = sys.stdout.buffer if kind == "out" else sys.stderr.buffer
    out.write(data)
    out.flush()


def fault(given: argparse.Namespace) -> int:
    """Bring a fault about in the machine of `make lab`, or take it away; its words and status are ours."""
    made = faults.spoken(given.words)
    with contextlib.closing(Way(_home() / "agent.sock", lambda: "make lab starts one")) as way:
        way.open(5)
        script = made.end if given.end else made.begin
        return way.run(["bash", "-euc", script], b"", "", {}, given.cap, _pass_on).status


def cut(_: argparse.Namespace) -> int:
    """Pull the plug of the machine of `make lab`; make lab brings it up again, with the disk as it was left."""
    cut_from_outside(_home())
    return 0


def image(_: argparse.Namespace) -> int:
    """Build the image, if it is not there."""
    print(f"lab: {base(CACHE).disk}, {' '.join(acceleration())}")
    return 0


def box(given: argparse.Namespace) -> int:
    """Pack the installed machine as a Vagrant box."""
    print(f"lab: {pack(installed(), Path(given.to))}")
    return 0


def main(argv: Sequence[str]) -> int:
    """0, or the status of what ran inside; 1 with a line when the lab did not do it, 2 for wrong usage."""
    parser = argparse.ArgumentParser(
        prog="lab", description="A machine under qemu with the platform installed."
    )
    words = parser.add_subparsers(required=True, metavar="up | run | fault | cut | image | box")
    word = words.add_parser("up", help="run it until Ctrl-C")
    word.add_argument("--router", type=int, default=ROUTER, help=f"port of this machine for apps ({ROUTER})")
    word.add_argument("--api", type=int, default=API, help=f"port of this machine for the API ({API})")
    word.add_argument("--memory", type=int, default=2048, metavar="MB")
    word.add_argument("--fresh", action="store_true", help="forget what was changed inside")
    word.add_argument(
        "--state-disk",
        metavar="SIZE",
        help="keep the state on a disk of its own, such as 2G, whose faults can be asked for",
    )
    word.set_defaults(do=up)
    word = words.add_parser("run", help="run a command inside")
    word.add_argument("--cap", type=float, default=3600.0, metavar="S", help="seconds it may take (3600)")
    word.add_argument("command", nargs="+")
    word.set_defaults(do=run)
    word = words.add_parser("fault", help=f"break it: {', '.join(faults.SPOKEN)}")
    word.add_argument("--end", action="store_true", help="mend it again")
    word.add_argument("--cap", type=float, default=600.0, metavar="S", help="seconds it may take (600)")
    word.add_argument("words", nargs="+", metavar="WORD")
    word.set_defaults(do=fault)
    word = words.add_parser("cut", help="pull the plug")
    word.set_defaults(do=cut)
    word = words.add_parser("image", help="build the disk image alone")
    word.set_defaults(do=image)
    word = words.add_parser("box", help="pack it for Vagrant")
    word.add_argument("--to", default=str(CACHE / "dynod.box"), metavar="FILE")
    word.set_defaults(do=box)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        given = parser.parse_args(argv)
        status: int = given.do(given)
    except (LabError, CannotBuild) as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    return status


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
