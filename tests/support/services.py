"""The platform as systemd runs it, by its units, without systemd: sockets that outlive their servers, one program at a time replaced.

`Served` is a `Whole` whose programs come from a checkout, and may come from another one after `upgrade`, in the order of systemd/install.
Left out: users and hardening (tests/lab has a real systemd).
"""

import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

from support import whole

from dynod.model.spoken import HOST

UNITS = whole.ROOT / "systemd"
CAP = 60
PARTS = ("dynod", "router", "slugc")


def lines(unit):
    """(key, value) of every line of a unit."""
    found = [line.partition("=") for line in (UNITS / unit).read_text().splitlines()]
    return [(key, value) for key, equals, value in found if equals and not key.startswith("#")]


def value(unit, key):
    return next((value for known, value in lines(unit) if known == key), "")


def upgrade_order():
    """(unit, whether it is reloaded and not restarted), in which order `make install` brings programs to another version."""
    said = re.findall(
        r"^  systemctl (restart|reload-or-restart) (.*)$", (UNITS / "install").read_text(), re.MULTILINE
    )
    return [
        (name.removesuffix(".service"), word != "restart") for word, units in said for name in units.split()
    ]


def checkout(place, version):
    """A copy of the programs that says another version."""
    for part in PARTS:
        shutil.copytree(whole.ROOT / part, place / part, ignore=shutil.ignore_patterns("__pycache__"))
    file = place / "dynod/model/spoken.py"
    text = re.sub(r'VERSION = ".*"', f'VERSION = "{version}"', file.read_text())
    file.write_text(text)
    return place


class Served(whole.Whole):
    """`source`: where programs are started from, as /opt/dynod/venv is."""

    def __init__(self, base, source, *settings):
        self.base, self.source = Path(base), source
        self.state, self.run = str(self.base / "s"), str(self.base / "r")
        for directory in (self.state, self.run):
            os.mkdir(directory)
        self._sockets = {path.stem: self._listen(path.name) for path in sorted(UNITS.glob("*.socket"))}
        api, router = (self._sockets[name].getsockname()[1] for name in ("dynod-api", "dyno-router"))
        self._config = self.base / "dynod.toml"
        self._config.write_text(
            f'api = "127.0.0.1:{api}"\nrouter = "127.0.0.1:{router}"\nrouter_tls = "none"\n'
            + "\n".join(settings)
        )
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.bind(f"{self.base}/notify")
        self._programs = {}
        try:
            for unit in ("dyno-net", "dyno-host", "dyno-logplex", "dynod", "dyno-router"):
                self.begin(unit)
        except BaseException:
            self.stop()
            raise

    def _listen(self, unit):
        where = value(unit, "ListenStream")
        if where.startswith("/"):
            sock = socket.socket(socket.AF_UNIX)
            sock.bind(where.replace("/run/dynod", self.run))
        else:
            sock = socket.socket()
            sock.bind(("127.0.0.1", 0))
        sock.listen(int(value(unit, "Backlog") or 128))
        return sock

    def begin(self, unit):
        """Start a unit's program and wait until it says that it serves."""
        argv = [sys.executable, *value(f"{unit}.service", "ExecStart").split()[1:]]
        argv = [word.replace("/run/dynod", self.run).replace("/var/lib/dynod", self.state) for word in argv]
        if "serve" in argv:
            argv += ["--config", str(self._config)]
        argv = self.as_whom(unit, argv)
        names = [name.removesuffix(".socket") for name in value(f"{unit}.service", "Sockets").split()]
        held = [self._sockets[name] for name in names]
        titles = [value(f"{name}.socket", "FileDescriptorName") for name in names]
        # The shell puts each socket where systemd does, from 3 on, and its own pid becomes the program's.
        moves = " ".join(f"{3 + place}<&{sock.fileno()}" for place, sock in enumerate(held))
        script = f'{"exec " + moves if held else ":"}; LISTEN_PID=$$ exec "$@"'
        env = {
            **os.environ,
            "PYTHONPATH": str(self.source),
            "NOTIFY_SOCKET": f"{self.base}/notify",
            "LISTEN_FDS": str(len(held)),
            "LISTEN_FDNAMES": ":".join(titles),
        }
        with open(f"{self.run}/{unit}.log", "ab") as log:
            self._programs[unit] = subprocess.Popen(
                ["bash", "-c", script, "begin", *argv],
                env=env,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[sock.fileno() for sock in held],
                start_new_session=True,
            )
        self._until_ready(unit)

    def as_whom(self, unit, argv):  # what others may make of it
        """The words that start a unit's program, without the users and groups that they name: there are none such here."""
        for flag in ("--socket-group", "--operator", "--reader"):
            if flag in argv:
                at = argv.index(flag)
                del argv[at : at + 2]
        return argv

    def _until_ready(self, unit):
        while True:
            readable, _, _ = select.select([self._notify], [], [], CAP)
            assert readable, f"{unit} does not serve\n{self.logs()}"
            if b"READY=1" in self._notify.recv(4096).split(b"\n"):
                return

    def end(self, unit, number=signal.SIGTERM):
        """Stop a unit's main process, and nothing else of it (KillMode=process or mixed), and wait."""
        program = self._programs.pop(unit)
        program.send_signal(number)
        status = program.wait(CAP)
        if value(f"{unit}.service", "KillMode") == "mixed":
            with_group(program.pid)
        return status

    def restart(self, unit):
        self.end(unit)
        self.begin(unit)

    def upgrade(self, source):
        """What `make install` does on a machine that has it: other programs in the place of those that run, then each anew."""
        os.rename(self.source, f"{self.source}.old")
        os.rename(source, self.source)
        shutil.rmtree(f"{self.source}.old")
        for unit, reloaded in upgrade_order():
            if reloaded:
                self.reload(unit)
            else:
                self.restart(unit)

    def reload(self, unit):
        """Have a program do it itself (ExecReload)."""
        _, number, _ = value(f"{unit}.service", "ExecReload").split()
        self._programs[unit].send_signal(getattr(signal, f"SIG{number.removeprefix('-')}"))
        self._until_ready(unit)

    def version(self):
        """What the dyno host says it is of."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as host:
            host.connect(f"{self.run}/host.sock")
            host.send(json.dumps({"op": "hello", **HOST.hello()}).encode())
            return json.loads(host.recv(4096))["version"]

    def stop(self, number=signal.SIGTERM):
        """As `make uninstall`: programs, then dynos and wires."""
        for unit in ("dyno-router", "dynod", "dyno-logplex", "dyno-net", "dyno-host"):
            if unit in self._programs:
                self.end(unit, number)
        for words in (("host", "--end-dynos"), ("net", "--end")):
            argv = [sys.executable, "-P", "-m", "dynod", *words, "--run", self.run, "--state", self.state]
            env = {**os.environ, "NOTIFY_SOCKET": f"{self.base}/notify", "PYTHONPATH": str(self.source)}
            with subprocess.Popen(argv, env=env, stderr=subprocess.DEVNULL) as last:
                try:
                    self._until_ready(words[0])
                finally:
                    last.terminate()
        for sock in (*self._sockets.values(), self._notify):
            sock.close()
        assert whole.left(self.base) == []
        return 0


def with_group(pid):
    """What a program with KillMode=mixed left behind is killed, as systemd does."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
