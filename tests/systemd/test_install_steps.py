"""`make install` and `make uninstall` step by step on a machine that runs: again, over another version, over one that is broken, without a network.

The machine is overlaid.py's; tests/lab/test_install.py has a real one.
"""

import subprocess
import sys

import pytest

from tests.systemd.overlaid import ROOT, Machine

pytestmark = pytest.mark.linux


@pytest.fixture
def machine(tmp_path):
    made = Machine(tmp_path)
    yield made
    made.close()
    assert list((tmp_path / "m").iterdir()) == []


def listens(machine):
    return machine.sh(
        "for unit in dyno-router dyno-router-tls dynod-api; do systemctl show -P Listen $unit.socket; done"
    ).split("\n")[:3]


def test_a_first_install_starts_everything_and_says_where_it_listens(machine):
    said = machine.install(ROUTER="0.0.0.0:8080", API="0.0.0.0:5001")
    assert "apps at 0.0.0.0:8080, API at 0.0.0.0:5001;" in said.stdout
    assert listens(machine) == ["0.0.0.0:8080 (Stream)", "0.0.0.0:8443 (Stream)", "0.0.0.0:5001 (Stream)"]
    assert machine.sh("cat /etc/dynod/dynod.toml").splitlines()[1:] == [
        'router = "0.0.0.0:8080"',
        'api = "127.0.0.1:5001"',
        'domain = "localhost"',
    ]
    log = [line for line in machine.log() if not line.startswith("systemctl show")]
    words = [line.split()[:2] for line in log if not line.startswith("mv ")]
    assert words == [
        ["systemctl", "is-active"],
        ["systemd-sysusers", "/usr/lib/sysusers.d/dynod.conf"],
        ["systemd-tmpfiles", "--create"],
        ["systemctl", "daemon-reload"],
        ["systemctl", "enable"],
        ["python", "-P"],
        ["systemctl", "start"],
        ["systemctl", "restart"],
        ["systemctl", "reload-or-restart"],
    ]
    assert "python -P -m dynod doctor --brief" in log, "before anything fails for want of something"
    enabled = set(next(line for line in log if line.startswith("systemctl enable")).split()[3:])
    assert enabled == {
        path.name
        for path in (ROOT / "systemd").iterdir()
        if path.suffix in {".service", ".socket", ".target"}
    }


@pytest.mark.parametrize(
    ("where", "tls", "named"),
    [("127.0.0.1:8888", "127.0.0.1:9251", "127.0.0.1:8888"), ("[::]:8080", "[::]:8443", "[::]:8080")],
)
def test_addresses_of_either_family(machine, where, tls, named):
    machine.install(ROUTER=where, API="[::]:5001")
    assert listens(machine) == [f"{where} (Stream)", f"{tls} (Stream)", "[::]:5001 (Stream)"]
    toml = machine.sh("cat /etc/dynod/dynod.toml")
    assert f'router = "{named}"\napi = "[::1]:5001"\n' in toml


@pytest.mark.parametrize("name", ["ROUTER", "API"])
@pytest.mark.parametrize(
    "value",
    [
        "8080",
        "localhost:80",
        ":80",
        "0.0.0.0:",
        "0.0.0.0:http",
        "0.0.0.0:0",
        "0.0.0.0:70000",
        "[::1:80",
    ],
)
def test_an_address_that_no_socket_unit_takes_is_refused_before_anything_is_done(machine, name, value):
    done = machine.run(f"sh {ROOT}/systemd/install install", **{name: value})
    assert (
        done.returncode,
        done.stderr.startswith(f"cannot use {name}={value}: it must be ADDRESS:PORT"),
    ) == (2, True)
    assert machine.left() == set()
    assert machine.log() == []


HOLD = "import socket, sys; held = socket.create_server((sys.argv[1], int(sys.argv[2]))); print(flush=True); sys.stdin.read()"


@pytest.mark.parametrize(
    ("host", "port", "name", "value"),
    [
        ("0.0.0.0", 80, "ROUTER", "0.0.0.0:80"),
        ("127.0.0.1", 443, "ROUTER", "0.0.0.0:80"),
        ("127.0.0.1", 5000, "API", "127.0.0.1:5000"),
    ],
)
def test_a_port_that_another_holds_is_told_while_another_can_still_be_chosen(
    machine, host, port, name, value
):
    argv = [*machine.inside, sys.executable, "-c", HOLD, host, str(port)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        holder.stdout.readline()
        done = machine.run(f"sh {ROOT}/systemd/install install")
        holder.stdin.close()
    assert done.returncode == 1
    asked = f"{value.rpartition(':')[0]}:{port}"
    assert done.stderr.startswith(f"cannot install dynod with {name}={value}: {asked} is held by python")
    assert f"(pid {holder.pid}); stop it, or choose another: make install {name}=" in done.stderr
    assert machine.left() == set()
    machine.install()


def test_what_was_installed_is_taken_off_and_what_is_kept_is_named(machine):
    machine.install(ROUTER="127.0.0.1:8888")
    machine.sh("echo everything >/var/lib/dynod/ledger.db")
    said = machine.install("uninstall").stdout
    assert {
        path for path in machine.left() if not path.startswith(("./var/lib/dynod/", "./etc/dynod/"))
    } == set()
    assert machine.sh("cat /var/lib/dynod/ledger.db") == "everything\n"
    assert machine.sh("ls /etc/dynod") == "dynod.toml\nunits\n"
    assert machine.run("ls -d /opt/dynod /run/dynod").stdout == ""
    assert "kept: /var/lib/dynod, /etc/dynod, and the users" in said
    for user in ("userdel dynod;", "userdel dynod-log;", "userdel dynod-router;", "groupdel dynod-link)"):
        assert user in said
    again = machine.install("uninstall")
    assert (again.stdout, again.stderr) == (said, "")


def test_an_install_after_an_uninstall_listens_where_the_settings_say(machine):
    """Addresses stand in dynod.toml, which is kept, and in drop-ins."""
    machine.install(ROUTER="0.0.0.0:8080", API="0.0.0.0:5001")
    before, toml = listens(machine), machine.sh("cat /etc/dynod/dynod.toml")
    machine.install("uninstall")
    said = machine.install()
    assert listens(machine) == before
    assert machine.sh("cat /etc/dynod/dynod.toml") == toml
    assert "apps at 0.0.0.0:8080, API at 0.0.0.0:5001;" in said.stdout
    assert machine.sh("ls /etc/dynod") == "dynod.toml\n"


def test_what_a_person_wrote_for_a_unit_outlives_an_uninstall(machine):
    machine.install()
    edited = "/etc/systemd/system/dynod.service.d/override.conf"
    machine.sh(f"mkdir -p $(dirname {edited}); printf '[Service]\\nEnvironment=A=b\\n' >{edited}")
    machine.install("uninstall")
    assert machine.run(f"ls {edited}").returncode != 0
    machine.install()
    assert machine.sh(f"cat {edited}") == "[Service]\nEnvironment=A=b\n"
    machine.sh(f"printf '[Service]\\nEnvironment=A=c\\n' >{edited}")
    machine.install("uninstall")
    machine.install("uninstall")
    machine.install()
    assert machine.sh(f"cat {edited}") == "[Service]\nEnvironment=A=c\n", "the newest"


def test_a_later_install_keeps_its_addresses_and_says_so(machine):
    machine.install(ROUTER="0.0.0.0:8080")
    said = machine.install(ROUTER="0.0.0.0:9090")
    assert (
        "kept /etc/dynod/dynod.toml and its addresses: ROUTER=0.0.0.0:9090 is for a first install"
        in said.stderr
    )
    assert "apps at 0.0.0.0:8080," in said.stdout
    assert listens(machine)[0] == "0.0.0.0:8080 (Stream)"
    assert machine.install().stderr == ""


def test_another_version_changes_places_with_the_one_before_in_one_step(machine):
    machine.install()
    assert machine.sh("cat /opt/dynod/venv/version") == "one\n"
    machine.sh(f"echo two >{machine.base}/m/version")
    machine.log()
    machine.install()
    assert machine.sh("cat /opt/dynod/venv/version") == "two\n"
    assert not [line for line in machine.log() if line.startswith("mv ") and "venv" in line]
    assert machine.sh("ls /opt/dynod") == "doc\nhandover\nvenv\n"
    assert machine.sh("head -n 1 /opt/dynod/venv/bin/dyno") == "#!/opt/dynod/venv/bin/python\n"


def test_where_the_file_system_cannot_do_that_it_takes_two_steps(machine):
    machine.sh(f"touch {machine.base}/m/no-exchange")
    machine.install()
    machine.sh(f"echo two >{machine.base}/m/version")
    machine.install()
    assert machine.sh("cat /opt/dynod/venv/version") == "two\n"
    assert machine.sh("ls /opt/dynod") == "doc\nhandover\nvenv\n"


def test_without_a_network_it_ends_with_a_line_and_what_was_there_is_as_it_was(machine):
    machine.install()
    machine.sh(f"echo two >{machine.base}/m/version; touch {machine.base}/m/offline")
    machine.log()
    done = machine.run(f"sh {ROOT}/systemd/install install")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "ERROR: there is no network",
        "cannot install dynod: its Python packages could not be had (the lines above say why); what was installed before is as it was",
    ]
    assert machine.sh("cat /opt/dynod/venv/version") == "one\n"
    assert machine.sh("ls /opt/dynod") == "doc\nhandover\nvenv\n"
    assert [
        line for line in machine.log() if not line.startswith(("systemctl is-active", "systemctl show"))
    ] == []


def test_over_an_environment_that_is_broken_it_makes_another(machine):
    machine.install()
    machine.sh(
        "rm -r /opt/dynod/venv/bin; mkdir /opt/dynod/venv.new /opt/dynod/venv.old; echo two >/opt/dynod/venv.new/half"
    )
    machine.install()
    assert (
        machine.sh("ls /opt/dynod; /opt/dynod/venv/bin/python -P -m dynod version") == "doc\nhandover\nvenv\n"
    )


def test_dynos_that_nobody_could_end_keep_everything_where_it_is(machine):
    machine.install()
    machine.sh(f"touch {machine.base}/m/broken; mkdir -p /run/dynod/netns")
    before = machine.left()
    machine.log()
    done = machine.run(f"sh {ROOT}/systemd/install uninstall")
    assert (done.returncode, done.stderr) == (
        1,
        "cannot end dynos and take their wires: /opt/dynod/venv is broken; make install mends it, then make uninstall does\n",
    )
    assert machine.left() == before
    assert machine.log() == []
    machine.sh(f"rm {machine.base}/m/broken")
    machine.install("uninstall")
    assert machine.run("ls -d /opt/dynod /run/dynod").stdout == ""


def test_an_uninstall_stops_requests_first_then_decisions_and_ends_dynos_before_their_wires(machine):
    machine.install()
    machine.log()
    machine.install("uninstall")
    log = machine.log()
    stopped = [line.split()[-1] for line in log if line.startswith("systemctl disable -q --now")]
    assert stopped[:6] == [
        "dynod.target",
        *(f"{unit}.service" for unit in ("dyno-router", "dynod", "dyno-logplex", "dyno-net", "dyno-host")),
    ]
    assert set(stopped[6:]) == {path.name for path in (ROOT / "systemd").glob("*.socket")}
    ends = [
        line.partition(" -m dynod ")[2].split(" --run")[0] for line in log if line.startswith("systemd-run")
    ]
    assert ends == ["host --end-dynos", "net --end"]
    assert log[-1] == "systemctl daemon-reload"


@pytest.mark.parametrize(("knows", "stopped"), [("yes", False), ("no", True)])
def test_a_router_that_does_not_know_the_handover_is_stopped_and_started(machine, knows, stopped):
    machine.install()
    machine.sh(f"echo {knows} >{machine.base}/m/active")
    machine.log()
    machine.install()
    assert ("systemctl stop dyno-router.service" in machine.log()) is stopped


def test_the_programs_users_may_read_what_root_installs_whatever_its_umask(machine):
    done = machine.run(f"umask 077; sh {ROOT}/systemd/install install")
    assert done.returncode == 0
    shut = machine.sh(f"cd {machine.base}/m/upper && find . -mindepth 1 ! -perm -o=r").split()
    assert shut == []
    assert machine.sh("find /opt/dynod /etc/dynod -type d ! -perm -o=x") == ""


@pytest.mark.parametrize("destination", ["in here/root", "root/"])
def test_a_destination_may_be_relative_and_have_spaces(machine, tmp_path, destination):
    (tmp_path / "w").mkdir()
    done = machine.run(f"cd {tmp_path}/w && sh {ROOT}/systemd/install install", DESTDIR=destination)
    assert done.returncode == 0, done.stderr
    home = tmp_path / "w" / destination / "opt/dynod"
    assert (home / "venv/bin/dyno").read_text() == "#!/opt/dynod/venv/bin/python\n"
    assert (home / "venv/pyvenv.cfg").read_text() == "command = python -m venv /opt/dynod/venv\n"
    assert machine.left() == set()
    assert not [line for line in machine.log() if line.startswith("systemctl")]


def test_other_words_are_wrong_usage(machine):
    done = machine.run(f"sh {ROOT}/systemd/install remove")
    assert (done.returncode, done.stderr) == (2, "cannot do remove: say install or uninstall\n")
