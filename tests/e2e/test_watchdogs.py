"""Every program that systemd watches says that it turns, again and again, in its own name: one that did not would be killed each minute."""

import select
import socket
import struct

import pytest
from support import services

pytestmark = pytest.mark.e2e

BEATS = 3
CREDENTIALS = struct.Struct("3i")  # pid, uid, gid: unix(7)


class Watched(services.Served):
    """As systemd starts them, with a watchdog that waits three seconds."""

    def as_whom(self, unit, argv):
        more = ["--look", "1"] if unit == "dyno-router" else []  # its own interval, whatever systemd says
        return super().as_whom(unit, argv) + more

    def beats(self):
        """Wait until each has said so often enough; return how often, by unit."""
        self._notify.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        heard = dict.fromkeys(self._programs, 0)
        units = {program.pid: unit for unit, program in self._programs.items()}
        while min(heard.values()) < BEATS:
            readable, _, _ = select.select([self._notify], [], [], services.CAP)
            assert readable, f"nobody says anything any more, after {heard}\n{self.logs()}"
            said, more, _, _ = self._notify.recvmsg(4096, socket.CMSG_SPACE(CREDENTIALS.size))
            if b"WATCHDOG=1" in said.split(b"\n") and more:
                pid, _, _ = CREDENTIALS.unpack(more[0][2])
                if pid in units:
                    heard[units[pid]] += 1
            assert max(heard.values()) < 10 * BEATS, f"somebody is silent: {heard}"
        return heard


def test_every_program_says_that_it_turns(tmp_path, monkeypatch):
    monkeypatch.setenv("WATCHDOG_USEC", "3000000")
    tmp_path.chmod(0o755)
    (tmp_path / "b").mkdir()
    watched = Watched(tmp_path / "b", services.checkout(tmp_path / "current", "0.0.1"))
    try:
        heard = watched.beats()
    finally:
        watched.stop()
    watching = {
        path.stem for path in services.UNITS.glob("*.service") if services.value(path.name, "WatchdogSec")
    }
    assert set(heard) == watching | {"dyno-router"}
