"""Who reaches us and whom we reach: the ports and who holds them, name servers that answer, IPv6, firewalls of others."""

import contextlib
import errno
import os
import select
import socket
import subprocess
import time
from collections.abc import Callable, Iterator

from dynod.cli.doctor.check import Check, lines
from dynod.model.resolver import CANDIDATES, dyno_resolver
from dynod.model.settings import Endpoint, Settings
from dynod.net.firewall import obstacles
from dynod.net.ipv6 import REMEDY, why_not
from dynod.net.survey import survey

PATIENCE = 2.0  # seconds for a name server; one that takes longer is no help to a build
_ANSWER = 10.0  # seconds for systemd
_OURS = "dynod"
_LISTENS = "0A"  # TCP_LISTEN in /proc/net/tcp
_PROGRAMS = ("dynod", "router")
_UNITS = {"api": "dynod-api.socket", "router": "dyno-router.socket", "router_tls": "dyno-router-tls.socket"}
# RFC 1035: number 1, recursion desired, one question: who serves the root? Everybody who answers questions knows.
_QUESTION = bytes.fromhex("0001 0100 0001 0000 0000 0000 00 0002 0001")
_DNS = 53


def port(which: str) -> Callable[[Settings], Check]:
    """Make the check for one of the addresses."""

    def check(settings: Settings) -> Check:
        name, endpoint = f"{which.replace('_', ' ')} address", getattr(settings, which)
        if endpoint is None:
            return Check(name, "none is asked for", ok=True)
        if (why := _refused(endpoint)) is None:
            return Check(name, f"{endpoint} is free", ok=True)
        if why.errno != errno.EADDRINUSE:
            remedy = f"choose another: {_setting(which)} (ip address shows which this machine has)"
            return Check(name, f"{endpoint}: {why.strerror}", ok=False, remedy=remedy)
        held = sorted(set(holders(endpoint.port)))
        others = [each for each in held if each != _OURS]
        if held and not others:
            return Check(name, f"{endpoint} is held by dynod itself", ok=True)
        who = ", ".join(others) or "somebody"
        return Check(
            name,
            f"{endpoint} is held by {who}",
            ok=False,
            remedy=f"stop {who}, or choose another: {_setting(which)}",
        )

    return check


def _setting(which: str) -> str:
    flag = f"--{which.replace('_', '-')} HOST:PORT" if which != "metrics" else ""
    unit = f"/etc/systemd/system/{_UNITS.get(which)}"
    there = f", and systemctl edit {os.path.basename(unit)}" if os.path.exists(unit) else ""
    return f'{flag}{", or " if flag else ""}{which} = "HOST:PORT" in dynod.toml{there}'


def _refused(endpoint: Endpoint) -> OSError | None:
    family = socket.AF_INET6 if ":" in endpoint.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((endpoint.host, endpoint.port))
            probe.listen()
        except OSError as error:
            return error
    return None


def holders(number: int) -> Iterator[str]:
    """Name who listens on a port of this machine: dynod, or a program and its pid."""
    wanted = {f"socket:[{inode}]" for inode in _listening(number)}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if any(target in wanted for target in _open(pid)):
            yield _OURS if _is_ours(pid, number) else _called(pid)


def _listening(number: int) -> Iterator[str]:
    for table in ("tcp", "tcp6"):
        for row in map(str.split, lines(f"/proc/net/{table}")[1:]):
            if row[3] == _LISTENS and int(row[1].rpartition(":")[2], 16) == number:
                yield row[9]


def _open(pid: str) -> Iterator[str]:
    try:
        found = os.listdir(f"/proc/{pid}/fd")
    except OSError:  # it ended, or is not ours to look into
        return
    for fd in found:
        with contextlib.suppress(OSError):  # closed meanwhile, as our own of a moment ago is
            yield os.readlink(f"/proc/{pid}/fd/{fd}")


def _is_ours(pid: str, number: int) -> bool:
    argv = _argv(pid)
    if any(argv[place : place + 2] == ["-m", name] for name in _PROGRAMS for place in range(len(argv))):
        return True
    return pid == "1" and f":{number} " in _sockets()


def _sockets() -> str:
    """What systemd listens on for our programs."""
    try:
        done = subprocess.run(
            ["systemctl", "show", "-P", "Listen", *_UNITS.values()],
            capture_output=True,
            text=True,
            check=False,
            timeout=_ANSWER,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout


def _argv(pid: str) -> list[str]:
    return "".join(lines(f"/proc/{pid}/cmdline")).split("\0")


def _called(pid: str) -> str:
    return f"{''.join(lines(f'/proc/{pid}/comm')) or 'a program'} (pid {pid})"


def names(_: Settings) -> Check:
    """Builds fetch packages: dynos are given the machine's name servers, but those on its own loopback they cannot reach."""
    found = dyno_resolver("\n".join(lines(path)) for path in CANDIDATES).nameservers
    if not found:
        return Check(
            "DNS",
            "no name server that a dyno can reach",
            ok=False,
            remedy="name one in /etc/resolv.conf that is not on 127.0.0.0/8",
            needed=False,
        )
    who = answers(found, _DNS)
    told = f"{who} answers" if who else f"nobody answers within {PATIENCE:g} s: {', '.join(found)}"
    remedy = (
        "name one in /etc/resolv.conf that answers, or let questions to port 53 out (builds fetch packages)"
    )
    return Check("DNS", told, bool(who), remedy, needed=False)


def answers(servers: tuple[str, ...], at: int) -> str:
    """Ask all at once; return who answered first, '' if nobody did in time."""
    asked: dict[socket.socket, str] = {}
    try:
        for server in servers:
            sock = socket.socket(socket.AF_INET6 if ":" in server else socket.AF_INET, socket.SOCK_DGRAM)
            asked[sock] = server
            try:
                sock.connect((server, at))
                sock.send(_QUESTION)
            except OSError:  # no way there
                del asked[sock]
                sock.close()
        until = time.monotonic() + PATIENCE
        while asked:
            ready, _, _ = select.select(list(asked), [], [], max(0.0, until - time.monotonic()))
            if not ready:
                return ""
            for sock in ready:
                try:
                    if sock.recv(4096)[:2] == _QUESTION[:2]:
                        return asked[sock]
                except OSError:  # told that nobody listens there
                    pass
                del asked[sock]
                sock.close()
        return ""
    finally:
        for sock in asked:
            sock.close()


def ipv6(_: Settings) -> Check:
    """Dynos have IPv6 where forwarding takes nothing away from the machine."""
    try:
        why, _sign, remedy = why_not(survey().ipv6).partition(REMEDY)
    except OSError as error:
        why, remedy = f"cannot look: {error}", "run it as root"
    found = f"dynos have none: {why}" if why else "dynos have it"
    return Check("IPv6", found, not remedy, remedy, needed=False)


def firewalls(_: Settings) -> Check:
    """Another's rule that drops what is forwarded cannot be overruled by ours."""
    name = "firewalls of others"
    try:
        found = obstacles()
    except OSError as error:
        why = str(error).partition("\n")[0]
        return Check(name, f"cannot look: {why}", ok=False, remedy="run it as root", needed=False)
    if not found:
        return Check(name, "let dynos out", ok=True)
    what, _sign, remedy = found[0].partition("; ")
    return Check(name, what, ok=False, remedy=remedy, needed=False)
