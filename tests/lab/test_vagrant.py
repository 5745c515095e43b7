"""The machine for Vagrant, by libvirt: the box is packed, `vagrant up` ends with an app that answers, and `vagrant destroy` leaves nothing."""

import os
import re
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest

from lab.box import pack
from lab.image import ROOT
from lab.machine import CACHE
from tests.lab.conftest import figure

PROGRAMS = {
    "vagrant": "vagrant vagrant-libvirt",
    "virsh": "libvirt-clients libvirt-daemon-system",
    "rsync": "rsync",
}
PORTS = (8080, 5000)  # the Vagrantfile's


def virsh(*words):
    argv = ["virsh", "-q", "-c", "qemu:///system", *words]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)


def volumes():
    return {line.split()[0] for line in virsh("vol-list", "default").stdout.splitlines() if line.split()}


@pytest.fixture(scope="module")
def libvirt():
    """What this machine lacks is said, and nothing is tried."""
    for program, packages in PROGRAMS.items():
        if shutil.which(program) is None:
            pytest.skip(f"needs the program {program}: apt-get install --no-install-recommends {packages}")
    done = virsh("list")
    if done.returncode != 0:
        pytest.skip(f"libvirt does not answer: {done.stderr.strip().splitlines()[-1]}")
    for port in PORTS:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                pytest.skip(f"somebody listens on port {port} of this machine")


@pytest.fixture
def vagrant(libvirt, disk):
    """`vagrant(words)` in this directory, with the box just packed, and everything else of Vagrant's in a directory of its own."""
    print(pack(disk, CACHE / "dynod.box"))
    # qemu runs as a user of its own, who must come through to the box
    before = volumes()
    home = Path(tempfile.mkdtemp(prefix="vagrant-", dir="/var/tmp"))
    home.chmod(0o755)
    env = {
        **os.environ,
        "VAGRANT_CWD": str(ROOT),
        "VAGRANT_HOME": str(home / "home"),
        "VAGRANT_DOTFILE_PATH": str(home / "dot"),
        "VAGRANT_CHECKPOINT_DISABLE": "1",
        "VAGRANT_DEFAULT_PROVIDER": "libvirt",
    }

    def vagrant(*words, cap=3000):
        done = subprocess.run(
            ["vagrant", *words, "--no-color"],
            env=env,
            capture_output=True,
            text=True,
            check=False,
            timeout=cap,
        )
        print(done.stdout[-6000:], done.stderr[-6000:])
        return done

    try:
        yield vagrant
    finally:
        vagrant("destroy", "-f")
        shutil.rmtree(home)
        for name in volumes() - before:  # of the box: vagrant destroy leaves it for the next one
            virsh("vol-delete", "--pool", "default", name)


@pytest.mark.timeout(3600)
def test_vagrant_up_ends_with_an_app_that_answers(vagrant):
    assert vagrant("validate").returncode == 0
    done = vagrant("up")
    assert done.returncode == 0, done.stderr
    assert "open http://hello.localhost:8080/" in done.stdout
    got = subprocess.run(
        ["curl", "-sf", "-m", "60", "-H", "Host: hello.localhost", f"http://127.0.0.1:{PORTS[0]}/"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert got.returncode == 0, got
    inside = vagrant("ssh", "-c", "dyno ps -a hello")
    assert "web.1: up" in inside.stdout
    resolver = vagrant("ssh", "-c", "ip route show default; cat /etc/resolv.conf").stdout
    assert re.search(r"default via (\S+) .*nameserver \1\s", resolver, re.DOTALL), (
        "as Vagrant's network tells"
    )
    figure("vagrant up", said=got.stdout[:80])
