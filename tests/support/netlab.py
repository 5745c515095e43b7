"""A machine and an internet for the network helper's tests, each a network namespace of its own: nothing of the real machine's
addresses, tables or settings is seen or touched, and two test runs cannot meet.
"""

import contextlib
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from waiting import LONGER

from dynod.net import namespaces

FORWARD = "/proc/sys/net/ipv4/ip_forward"
FORWARD6 = "/proc/sys/net/ipv6/conf/all/forwarding"
LONG = 10.0 * LONGER  # for what must happen
SHORT = 0.4 * LONGER  # for what must not
_libc = ctypes.CDLL(None, use_errno=True)


def inside(namespace, function):
    """Run a function in a thread that has entered the namespace (a path); give back its result or raise its error."""
    outcome = {}

    def body():
        try:
            with open(namespace) as file:
                assert _libc.setns(file.fileno(), 0x40000000) == 0, os.strerror(ctypes.get_errno())
            outcome["result"] = function()
        except BaseException as error:  # noqa: BLE001 # it is raised again by who waits
            outcome["error"] = error

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    if "error" in outcome:
        raise outcome["error"]
    return outcome["result"]


def connects(namespace, address, cap=SHORT, source=None):
    """Say whether a TCP connection from inside the namespace comes about."""

    def attempt():
        with socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET) as client:
            client.settimeout(cap)
            if source is not None:
                client.bind((source, 0))
            try:
                client.connect(address)
            except OSError:
                return False
            return True

    return inside(namespace, attempt)


def _new_namespace(path):
    def body():
        with namespaces.fresh():
            namespaces.pin(path)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()


def sh(*words, check=True):
    return subprocess.run(words, check=check, capture_output=True, text=True).stdout


class Helper:
    """One `dynod net`, in the machine's namespace."""

    def __init__(self, machine, run, *options):
        self.run = run
        self.process = subprocess.Popen(
            [
                "nsenter",
                f"--net={machine}",
                sys.executable,
                "-m",
                "dynod.net",
                "--run",
                run,
                "--state",
                run,
                *options,
            ],
            stderr=subprocess.PIPE,
            text=True,
        )
        self.said = []
        for line in self.process.stderr:
            self.said.append(line.strip())
            if "ready in" in line:
                break
        else:
            self.process.wait()
            self.process.stderr.close()

    def end(self, number=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.process.wait()
        if not self.process.stderr.closed:
            self.said += self.process.stderr.read().splitlines()
            self.process.stderr.close()
        return self.process.returncode


class Lab:
    """`machine` and `internet` are paths of namespaces; the internet is 198.51.100.2 and the default route."""

    def __init__(self, stack):
        self._stack = stack
        pins = self.directory()
        self.machine, self.internet = (f"{pins}/{name}" for name in ("machine", "internet"))
        for path in (self.machine, self.internet):
            _new_namespace(path)
            stack.callback(namespaces.unpin, path)
            self.ip(path, "link", "set", "lo", "up")
        far = ["peer", "name", "up0", "netns", self.internet]
        self.ip(self.machine, "link", "add", "up0", "mtu", "1400", "type", "veth", *far)
        for path, address in ((self.machine, "198.51.100.1/24"), (self.internet, "198.51.100.2/24")):
            self.ip(path, "addr", "add", address, "dev", "up0")
            self.ip(path, "link", "set", "up0", "up")
        self.ip(self.internet, "addr", "add", "169.254.169.254/32", "dev", "lo")
        self.ip(self.machine, "route", "add", "default", "via", "198.51.100.2")
        self.forward("0")  # a new namespace begins with what the real machine has just now

    def ipv6(self, *, way_out=True):
        """Give machine and internet IPv6: 2001:db8:5::1 and ::2, metadata at fd00:ec2::254, and (`way_out`) a default route."""
        for path, address in ((self.machine, "2001:db8:5::1/64"), (self.internet, "2001:db8:5::2/64")):
            self.ip(path, "-6", "addr", "add", address, "dev", "up0", "nodad")
        self.ip(self.internet, "-6", "addr", "add", "fd00:ec2::254/128", "dev", "lo", "nodad")
        self.ip(self.machine, "-6", "route", "add", "fd00:ec2::254/128", "via", "2001:db8:5::2")
        if way_out:
            self.ip(self.machine, "-6", "route", "add", "default", "via", "2001:db8:5::2")

    def ip(self, namespace, *words):
        return sh("nsenter", f"--net={namespace}", "ip", *words)

    def directory(self):
        return self._stack.enter_context(tempfile.TemporaryDirectory(prefix="dynod-net-"))

    def helper(self, run, *options):
        helper = Helper(self.machine, run, *options)
        self._stack.callback(self._clear, helper)
        return helper

    def _clear(self, helper):
        """However the test ended: no helper, no namespace of its run directory."""
        helper.end(signal.SIGKILL)
        directory = f"{helper.run}/netns"
        if os.path.isdir(directory):
            for name in filter(str.isdigit, os.listdir(directory)):
                namespaces.unpin(f"{directory}/{name}")  # no program for each of thousands

    def listen(self, namespace, host="0.0.0.0", kind=socket.SOCK_STREAM):
        """Listen inside a namespace; give back the port, and the socket."""

        def body():
            listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind)
            if ":" in host:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind((host, 0))
            if kind == socket.SOCK_STREAM:
                listener.listen(16)
            listener.settimeout(LONG)
            return listener

        listener = self._stack.enter_context(inside(namespace, body))
        return listener.getsockname()[1], listener

    def nft(self, *words, given=None):
        command = ["nsenter", f"--net={self.machine}", "nft", *words]
        return subprocess.run(command, input=given, check=True, capture_output=True, text=True).stdout

    def forward_chain(self, family, table, policy):
        """Be somebody else who filters what is forwarded."""
        chain = f"chain FORWARD {{\n type filter hook forward priority 0; policy {policy};\n}}"
        self.nft("-f", "-", given=f"table {family} {table} {{\n{chain}\n}}\n")

    def interfaces(self):
        return sorted(link["ifname"] for link in json.loads(self.ip(self.machine, "-j", "link")))

    def routes(self):
        return [self.ip(self.machine, family, "route").splitlines() for family in ("-4", "-6")]

    def forwarding(self, path=FORWARD):
        return inside(self.machine, lambda: Path(path).read_text().strip())

    def forward(self, value):
        inside(self.machine, lambda: Path(FORWARD).write_text(value))


@contextlib.contextmanager
def lab():
    with contextlib.ExitStack() as stack:
        yield Lab(stack)
