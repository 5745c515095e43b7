"""A hostile program in a dyno finds every door shut, and the same program outside, as root, shows that each can open."""

import asyncio
import contextlib
import ctypes
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from jailed import SLUG_UID, UID_FIRST, TestHost, close_all, read_all
from support.netlab import LONG, inside, lab

from dynod.host.net_link import NetLink
from dynod.model.settings import Endpoint
from dynod.net.addresses import Block

pytestmark = pytest.mark.linux("nft", "ip", "nsenter", "unshare")
HOSTILE = Path(__file__).parent / "hostile"
MACHINE, INTERNET, METADATA = "198.51.100.1", "198.51.100.2", "169.254.169.254"
MACHINE6, INTERNET6, METADATA6 = "2001:db8:5::1", "2001:db8:5::2", "fd00:ec2::254"
MEMORY, TASKS, FILES = 96 * 1024**2, 48, 200
AT_LEAST = 200

# Where even root outside finds nothing to open: what a kernel lacks or may lack, what this machine's root may lack
# (CAP_SYS_RESOURCE in a container), what is a limit of the machine's own.
MAY_BE_SHUT_OUTSIDE = """
    proc.acpi proc.asound proc.kpagecgroup proc.kpagecount proc.kpageflags proc.latency_stats proc.sched_debug proc.scsi
    proc.slabinfo proc.timer_stats proc.timer_list proc.keys proc.key-users proc.kcore proc.sys.kernel.hotplug proc.cgroup
    proc.sys.kernel.modprobe proc.sys.kernel.ns_last_pid proc.sys.kernel.unprivileged_bpf_disabled proc.sys.net.ipv4.ip_forward
    proc.sys.kernel.sysrq proc.sys.user.max_user_namespaces
    proc.write.irq proc.write.mtrr proc.write.bus proc.write.sysrq-trigger sys.firmware dev.disks init.stack
    kernel.kexec_load kernel.kexec_file_load kernel.init_module kernel.finit_module kernel.delete_module kernel.acct
    kernel.keyctl.get-persistent kernel.keyctl.read kernel.quotactl kernel.quotactl_fd kernel.fanotify kernel.iopl
    kernel.ioperm kernel.io_uring kernel.userfaultfd kernel.32-bit kernel.huge-pages kernel.mbind kernel.set_mempolicy
    kernel.move_pages kernel.migrate_pages kernel.perf_event_open kernel.swapon kernel.swapoff
    socket.vsock socket.alg socket.alg-wide net.audit net.new-link setns.parent mount.debugfs mount.mqueue mount.cgroup2
    path.hardlink path.handle prctl.mm prlimit.init-raise limit.files limit.core limit.locked limit.priority limit.inotify
    priority.oom-score priority.real-time priority.deadline core.dump setuid.sudo setuid.chsh setuid.newgrp
    setuid.gpasswd setuid.passwd tty.inject unshare.time process_madvise kcmp
""".split()  # noqa: SIM905  # a list to be read as one


@contextlib.contextmanager
def world():
    """A machine with services, two dynos' network namespaces in it, and a dyno host: (host, lab, dyno's namespace, an address out there, config)."""
    with contextlib.ExitStack() as stack:
        host = stack.enter_context(TestHost())
        place = stack.enter_context(lab())
        place.ipv6()
        router, _ = place.listen(place.machine)  # which dynos may reach, and nothing beside it
        wired, other = wire(place, router)
        outer, _ = place.listen(place.machine)
        reach = {
            "host-loopback": ("127.0.0.1", place.listen(place.machine, "127.0.0.1")[0]),
            "host-address": (MACHINE, outer),
            "host-gateway": (wired.gateway, outer),
            "api": (MACHINE, place.listen(place.machine, MACHINE)[0]),
            "other-dyno": (other.address, place.listen(other.netns)[0]),
            "metadata": (METADATA, place.listen(place.internet, METADATA)[0]),
            "echo": (MACHINE, echo(place, stack)),
            "host-loopback-by-ipv6": ("::1", place.listen(place.machine, "::1")[0]),
            "host-address-by-ipv6": (MACHINE6, place.listen(place.machine, "::")[0]),
            "host-gateway-by-ipv6": (
                of_slot(wired).gateway6.compressed,
                place.listen(place.machine, "::")[0],
            ),
            "api-by-ipv6": (MACHINE6, place.listen(place.machine, MACHINE6)[0]),
            "other-dyno-by-ipv6": (of_slot(other).address6.compressed, place.listen(other.netns, "::")[0]),
            "metadata-by-ipv6": (METADATA6, place.listen(place.internet, METADATA6)[0]),
            "echo-by-ipv6": (MACHINE6, echo(place, stack, "::")),
        }
        config = {
            "host": os.getpid(),
            "files": FILES,
            "tasks": TASKS,
            "memory": MEMORY,
            "oom_score": 199 if full_root() else -1,
            "other_uid": UID_FIRST + 50,
            "hostname": socket.gethostname(),
            "shm": segment(stack),
            "abstract": abstract(place, stack),
            "reach": reach,
        }
        internet, _ = place.listen(place.internet)
        internet6, _ = place.listen(place.internet, "::")
        # The host lets nothing in but what lies in RUN/netns, where a platform's namespaces are.
        pinned = host.run / "netns/of-the-test"
        pinned.parent.mkdir(parents=True, exist_ok=True)
        pinned.touch()
        subprocess.run(["mount", "--bind", wired.netns, pinned], check=True)
        stack.callback(shutil.rmtree, host.state / "dynos/other", ignore_errors=True)
        stack.callback(pinned.parent.rmdir)
        stack.callback(pinned.unlink)
        stack.callback(subprocess.run, ["umount", pinned], check=True)
        yield (
            host.start(),
            place,
            str(pinned),
            ((INTERNET, internet), (INTERNET6, internet6), (MACHINE, router)),
            config,
        )


def wire(place, router):
    run = place.directory()
    place.helper(run)

    async def take():
        link = NetLink(run)
        try:
            async with asyncio.timeout(LONG):
                await link.routers([Endpoint("0.0.0.0", router), Endpoint("::", router)])
                return [await link.take(name) for name in ("a", "b")]
        finally:
            await link.close()

    return asyncio.run(take())


def of_slot(wired):
    """The place of a dyno in the address plan."""
    return Block(0).slot(int(os.path.basename(wired.netns)))


def echo(place, stack, host="0.0.0.0"):
    port, sock = place.listen(place.machine, host, kind=socket.SOCK_DGRAM)
    family = sock.family
    sock.settimeout(None)  # the doors that stay shut take their time

    def answer():
        with contextlib.suppress(OSError):
            while True:
                said, who = sock.recvfrom(100)
                if said == b"end":
                    return
                sock.sendto(said, who)

    thread = threading.Thread(target=answer)
    thread.start()

    def end():
        with inside(place.machine, lambda: socket.socket(family, socket.SOCK_DGRAM)) as last:
            last.sendto(b"end", ("::1" if host == "::" else "127.0.0.1", port))
        thread.join()

    stack.callback(end)
    return port


def segment(stack):
    """Shared memory of the host's, by a key."""
    libc, key = ctypes.CDLL(None), os.getpid() | 0x5E000000
    made = libc.shmget(key, 4096, 0o1666)
    assert made >= 0
    stack.callback(libc.shmctl, made, 0, None)
    return key


def abstract(place, stack):
    name = f"hostile-{os.getpid()}"

    def listen():
        sock = socket.socket(socket.AF_UNIX)
        sock.bind("\0" + name)
        sock.listen()
        return sock

    stack.enter_context(inside(place.machine, listen))
    return name


def full_root():
    effective = next(line for line in Path("/proc/self/status").read_text().splitlines() if "CapEff" in line)
    return int(effective.split()[1], 16) >> 24 & 1 == 1


def paths(host):
    """What an app must not see, made if it is not there."""
    secret, other = host.state / "secrets/key", host.state / "dynos/other/upper/app"
    for directory in (secret.parent, other):
        directory.mkdir(parents=True, exist_ok=True)
    (other / "theirs").write_text("x")
    secret.write_text("x")
    return {
        "state": str(host.state),
        "run": str(host.run),
        "slug-store": str(host.state / "slugs"),
        "other-app": str(other),
        "secret": str(secret),
    }


def put_program(host):
    """The program comes as a slug, as a hostile app would."""
    slug = host.state / "slugs/hostile"
    shutil.copytree(HOSTILE, slug / "app", ignore=shutil.ignore_patterns("__pycache__"))
    for path in (slug, *slug.rglob("*")):
        os.chown(path, SLUG_UID, SLUG_UID)
    return str(slug)


def verdict(text):
    *before, said = text.splitlines()
    print(*before)
    return json.loads(said)


def test_no_door_opens_in_a_dyno_and_those_outside_do(tmp_path):
    with world() as (host, place, netns, internet, config):
        slug, config["paths"] = put_program(host), paths(host)
        within = {**config, "pid": 1, "home": "/app", "disk": "/usr/bin", "top": str(host.top)}
        plan = host.plan("/usr/bin/python3", "doors.py", json.dumps(within), netns=netns)
        plan["lower"] = [[slug, True], plan["lower"][1]]
        plan["limits"] = {"memory": MEMORY, "tasks": TASKS, "cpu": 1, "files": FILES}
        for address in internet:
            way_out = f"import socket; socket.create_connection({address!r}, {LONG}); print('out')"
            said = host.sh(f'/usr/bin/python3 -c "{way_out}"', netns=netns)[1]
            assert said == "out\n"  # so the network's doors are shut for a reason

        _, (stdin, stdout) = host.boot(plan)
        os.close(stdin)
        said, ended = read_all(stdout), host.ended(plan["id"])
        assert ended["status"] == 0, (ended, said)
        inner = verdict(said)
        host.forget(plan["id"])

        outer = outside(place, {**config, "home": str(tmp_path), "disk": str(tmp_path), "top": "/"})

    assert inner["opened"] == inner["broken"] == outer["broken"] == []
    assert inner["tried"] == outer["tried"]
    assert len(inner["tried"]) >= AT_LEAST
    never = set(outer["tried"]) - set(outer["opened"]) - set(MAY_BE_SHUT_OUTSIDE)
    assert never == set()  # a door that cannot open proves nothing
    assert len(outer["opened"]) >= AT_LEAST - len(MAY_BE_SHUT_OUTSIDE)


def outside(place, config):
    """The same program as root, in mounts and a host name that go with it, with all that a careless parent leaves open."""
    victim = subprocess.Popen(["cat"], stdin=subprocess.PIPE, env={"A": "B"})
    directory = os.open("/", os.O_RDONLY)
    ours, theirs = socket.socketpair()
    try:
        config |= {"pid": victim.pid}
        argv = [f"--net={place.machine}", "unshare", "-m", "-u", "--propagation", "private"]
        argv += [sys.executable, str(HOSTILE / "doors.py"), json.dumps(config)]
        done = subprocess.run(
            ["nsenter", *argv],
            stdin=theirs,
            capture_output=True,
            text=True,
            pass_fds=[directory],
            check=False,
        )
    finally:
        victim.kill()
        victim.wait()
        victim.stdin.close()
        close_all([directory])
        ours.close()
        theirs.close()
    return verdict(done.stderr + done.stdout)


def test_the_page_on_isolation_names_every_door():
    listed = subprocess.run(
        [sys.executable, str(HOSTILE / "doors.py"), "--list"], capture_output=True, text=True, check=True
    )
    names = listed.stdout.split()
    page = (Path(__file__).parents[2] / "docs/isolation.md").read_text()
    assert len(names) >= AT_LEAST
    assert [name for name in names if f"`{name}`" not in page] == []
