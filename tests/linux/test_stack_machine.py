"""This machine's own stack, entered by chroot as a dyno's user: what programs find there."""

import subprocess

import pytest

from dynod.host.stack import build_stack

pytestmark = pytest.mark.linux("unshare", "chroot")
UIDS = range(200_000, 204_000)
ENTER = """
set -e
mount --bind "$1" "$1"
mount --bind /usr "$1/usr"
mount -t proc proc "$1/proc"
mount --bind /dev "$1/dev"
exec chroot --userspec=200003:200003 "$1" /usr/bin/env -i HOME=/app PATH=/usr/bin:/bin sh -c "$2"
"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    return build_stack(str(tmp_path_factory.mktemp("state")), UIDS)


@pytest.fixture
def inside(stack):
    def run(command):
        words = [
            "unshare",
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-c",
            ENTER,
            "sh",
            stack.skeleton,
            command,
        ]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run


def test_a_dyno_knows_who_and_where_it_is(inside):
    assert inside("whoami; id -gn; getent passwd u200003 | cut -d: -f6").split() == [
        "u200003",
        "dyno",
        "/app",
    ]
    assert "localhost" in inside("getent hosts localhost")


def test_certificates_are_found_where_openssl_looks(inside):
    count = "import ssl; print(len(ssl.create_default_context().get_ca_certs()))"
    assert int(inside(f"/usr/bin/python3 -c '{count}'")) > 20


def test_nothing_of_etc_can_be_written_and_nothing_secret_read(inside):
    assert inside("find /etc / -maxdepth 1 ! -type l -writable ! -path /proc ! -path /dev -print") == "/tmp"
    assert inside("ls /etc/shadow /etc/ssl/private /etc/machine-id /root 2>/dev/null || true") == "/root:"
    assert inside("find /etc -type f ! -readable -print") == ""


def test_no_link_of_etc_leads_to_the_machine_s_other_directories(inside):
    dangling = inside("find /etc -xtype l ! -path '/etc/alternatives/*' -print")
    assert dangling == ""


def test_name_servers_are_named(inside):
    assert "nameserver" in inside("cat /etc/resolv.conf")
