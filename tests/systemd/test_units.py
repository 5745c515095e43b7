"""The systemd units, offline: each starts what `dynod up` starts, systemd accepts them, and how exposed each is stays as it was."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dynod.model import settings as places
from dynod.model.settings import Settings
from dynod.up.components import plan
from router.master import STOP_LIMIT

UNITS = Path(__file__).parents[2] / "systemd"
OF = {
    "host": "dyno-host",
    "net": "dyno-net",
    "logplex": "dyno-logplex",
    "serve": "dynod",
    "router": "dyno-router",
}
SERVICES = sorted(OF.values())
SOCKETS = sorted(path.stem for path in UNITS.glob("*.socket"))
EXPOSURE = {"dyno-host": 87, "dyno-net": 49, "dyno-logplex": 10, "dynod": 17, "dyno-router": 15}
"""What `systemd-analyze security` of systemd 252 says, times ten: 100 is a service with no hardening. Lower it, never raise it."""


def lines(unit):
    """(key, value) of every line, in order: systemd's keys may stand twice."""
    found = [line.partition("=") for line in (UNITS / unit).read_text().splitlines()]
    return [(key, value) for key, equals, value in found if equals and not key.startswith("#")]


def values(unit, key):
    return [value for known, value in lines(unit) if known == key]


def exec_start(unit):
    (found,) = values(f"{unit}.service", "ExecStart")
    return found.split()


@pytest.fixture
def startable(tmp_path):
    """The units with a program that is there, since `verify` looks for it."""
    for path in UNITS.iterdir():
        if path.suffix in {".service", ".socket", ".slice", ".target"}:
            text = path.read_text().replace("/opt/dynod/venv/bin/python", "/bin/true")
            (tmp_path / path.name).write_text(text)
    return tmp_path


def analyze(*words):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs the program systemd-analyze: install the package systemd")
    return subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "component", [one for stage in plan(Settings(), None) for one in stage], ids=lambda one: one.name
)
def test_each_component_has_a_unit_that_starts_the_same_program(component):
    argv = exec_start(OF[component.name])
    assert argv[:3] == ["/opt/dynod/venv/bin/python", "-P", "-m"]
    module = ["router"] if component.name == "router" else ["dynod", component.name]
    assert argv[3 : 3 + len(module)] == module
    for flag in ("--run", "--state"):
        assert argv[argv.index(flag) + 1] == component.argv[component.argv.index(flag) + 1]


def test_systemd_accepts_the_units(startable):
    done = analyze("verify", "--man=no", *sorted(str(path) for path in startable.iterdir()))
    assert (done.returncode, [line for line in done.stderr.splitlines() if "dyno" in line]) == (0, [])


@pytest.mark.parametrize("unit", SERVICES)
def test_a_unit_is_no_more_exposed_than_it_was(startable, unit):
    done = analyze("security", "--offline=yes", "--no-pager", str(startable / f"{unit}.service"))
    (score,) = re.findall(r"Overall exposure level for \S+: (\d+\.\d)", done.stdout)
    assert round(float(score) * 10) == EXPOSURE[unit]


@pytest.mark.parametrize("unit", SERVICES)
def test_every_service_comes_back_says_when_it_serves_and_outlives_its_apps(unit):
    service = f"{unit}.service"
    assert values(service, "Restart") == ["always"]
    assert values(service, "StartLimitIntervalSec") == ["0"]  # it comes back however often it died
    assert values(service, "Type") == ["notify"]
    assert int(values(service, "OOMScoreAdjust")[0]) <= -900
    assert values(service, "MemoryMin")


@pytest.mark.parametrize("unit", SERVICES)
def test_a_program_that_hangs_is_killed_and_none_is_waited_for_without_end(unit):
    """The router asks for its watchdog itself (tests/router/test_router_pulse.py). SIGKILL: who hangs hears no SIGABRT in time."""
    service = f"{unit}.service"
    assert values(service, "WatchdogSec") == ([] if unit == "dyno-router" else ["60"])
    assert values(service, "WatchdogSignal") == ["SIGKILL"]
    assert values(service, "KillMode") == ["process" if unit in {"dyno-host", "dyno-net"} else "mixed"]
    assert values(service, "RestartSec") == ["100ms"]
    assert 15 <= int(values(service, "TimeoutStopSec")[0]) <= 45
    assert values(service, "OOMPolicy") == [
        "continue"
    ]  # one worker that the kernel killed is no reason to kill all


def test_the_router_may_take_longer_to_stop_than_its_requests_to_end():
    assert int(values("dyno-router.service", "TimeoutStopSec")[0]) > STOP_LIMIT


def after(unit):
    return set(" ".join(values(f"{unit}.service", "After")).split())


def test_programs_start_in_the_order_in_which_they_need_one_another():
    assert {"dyno-host.service", "dyno-net.service", "dyno-logplex.socket"} <= after("dynod")
    assert "dyno-host.service" in after("dyno-logplex"), "who gives it the pipes"
    assert "nftables.service" in after("dyno-net"), "which flushes all tables, ours too"
    for unit in SERVICES:
        assert not any("router" in other for other in after(unit)), "the router serves without all of them"
        assert values(f"{unit}.service", "PartOf") == ["dynod.target"]
        assert not {
            other
            for other in SERVICES
            for key in ("Requires", "BindsTo")
            if f"{other}.service" in " ".join(values(f"{unit}.service", key))
        }, "nobody goes down with another"
    for unit in SERVICES:
        if unit not in {"dynod", "dyno-logplex"}:
            assert "systemd-tmpfiles-setup.service" in after(unit)
    for name in SOCKETS:
        (service,) = values(f"{name}.socket", "Service")
        assert values(f"{name}.socket", "Before") == [service]


def test_what_the_machine_lacks_is_said_before_anything_starts_and_stops_nothing():
    (said,) = values("dyno-host.service", "ExecStartPre")
    assert said.startswith("-/opt/dynod/venv/bin/python -P -m dynod doctor ")
    assert "--offline" in said, "no start waits for a name server"
    words = said.split()[6:]
    done = subprocess.run(
        [sys.executable, "-P", "-m", "dynod", "doctor", *words, "--help"], capture_output=True, check=False
    )
    assert done.returncode == 0


def test_the_web_is_served_where_browsers_look_for_it_and_the_api_to_this_machine():
    assert values("dyno-router.socket", "ListenStream") == ["0.0.0.0:80"]
    assert values("dyno-router-tls.socket", "ListenStream") == ["0.0.0.0:443"]
    assert values("dynod-api.socket", "ListenStream") == ["127.0.0.1:5000"]


@pytest.mark.parametrize(
    ("socket", "name", "program"),
    [
        ("dyno-router", "router", "router/__main__.py"),
        ("dyno-router-tls", "router-tls", "router/__main__.py"),
        ("dynod-api", "api", "dynod/daemon.py"),
    ],
)
def test_a_program_finds_its_socket_by_the_name_that_the_unit_gives_it(socket, name, program):
    assert values(f"{socket}.socket", "FileDescriptorName") == [name]
    assert f'unit().named("{name}")' in (UNITS.parent / program).read_text()


def test_what_the_services_keep_is_within_what_their_slice_keeps():
    def megabytes(unit):
        return int(values(unit, "MemoryMin")[0].removesuffix("M"))

    assert megabytes("dynod.slice") >= 100
    assert all(values(f"{unit}.service", "Slice") == ["dynod.slice"] for unit in SERVICES)
    assert max(megabytes(f"{unit}.service") for unit in SERVICES) <= megabytes("dynod.slice")


def test_dynos_and_wires_outlive_the_programs_that_made_them():
    assert values("dyno-host.service", "KillMode") == ["process"]
    assert values("dyno-host.service", "Delegate") == ["yes"]
    assert values("dyno-net.service", "KillMode") == ["process"]
    assert "--end-dynos" not in exec_start("dyno-host")
    assert "--end" not in exec_start("dyno-net")


@pytest.mark.parametrize("unit", ["dyno-host", "dyno-net"])
def test_what_makes_mounts_has_no_mount_namespace_of_its_own(unit):
    own = re.compile(
        r"Protect(System|Home|Kernel|ControlGroups|Proc)|Private|ReadWritePaths|ProcSubset|RootDirectory"
    )
    assert [key for key, _ in lines(f"{unit}.service") if own.match(key)] == []


def test_host_hands_its_dynos_no_seccomp_of_systemd():
    inherited = {
        "SystemCallFilter",
        "RestrictNamespaces",
        "MemoryDenyWriteExecute",
        "RestrictSUIDSGID",
        "NoNewPrivileges",
    }
    assert inherited.isdisjoint(key for key, _ in lines("dyno-host.service"))


@pytest.mark.parametrize(
    ("unit", "user"), [("dyno-logplex", "dynod-log"), ("dyno-router", "dynod-router"), ("dynod", "dynod")]
)
def test_who_talks_to_strangers_runs_without_any_privilege(unit, user):
    assert values(f"{unit}.service", "User") == [user]
    assert values(f"{unit}.service", "CapabilityBoundingSet") == [""]
    assert values(f"{unit}.service", "NoNewPrivileges") == ["yes"]
    assert re.search(rf"^u {user} ", (UNITS / "sysusers.conf").read_text(), re.MULTILINE)


def test_the_programs_that_are_root_listen_to_the_control_plane_and_give_logplex_its_pipes():
    host, net = exec_start("dyno-host"), exec_start("dyno-net")
    assert host[host.index("--operator") + 1] == net[net.index("--operator") + 1] == "dynod"
    assert host[host.index("--reader") + 1] == "dynod-log"


def test_what_root_makes_and_removes_lies_where_no_other_user_gives_names():
    """Else who has the control plane's rights could put a link in root's way."""
    rows = [line.split() for line in (UNITS / "tmpfiles.conf").read_text().splitlines()]
    made = {row[1]: row[2:5] for row in rows if row[0] == "d"}
    assert made["/run/dynod"] == ["0755", "root", "root"]
    assert made["/var/lib/dynod"] == ["1775", "root", "dynod"]  # sticky: who may add may not take away
    assert made["/var/lib/dynod/dynos"] == ["0755", "root", "root"]


def test_what_an_older_version_had_as_root_is_handed_over_before_the_control_plane_starts():
    (said,) = values("dynod.service", "ExecStartPre")
    assert said.startswith("+/bin/sh -c ")
    mark = re.search(r"--mark (/opt/dynod/\S+)", said)[1]
    assert f"-e {mark} " in said
    assert f': >"$home/{mark.removeprefix("/opt/dynod/")}"' in (UNITS / "install").read_text()


def test_unix_sockets_stand_where_the_programs_look_for_them():
    listened = {unit: values(f"{unit}.socket", "ListenStream") for unit in SOCKETS}
    run = Settings().run
    assert listened["dynod-control"] == [places.control_socket(run)]
    assert listened["dynod-routes"] == [places.routes_socket(run)]
    assert listened["dyno-logplex"] == [places.log_socket(run)]
    assert listened["dynod-api"] == [str(Settings().api)]


@pytest.mark.parametrize("socket", SOCKETS)
def test_a_socket_and_its_service_know_each_other_and_only_groups_of_ours_may_connect(socket):
    (service,) = values(f"{socket}.socket", "Service")
    assert f"{socket}.socket" in " ".join(values(service, "Sockets")).split()
    assert f"{socket}.socket" in " ".join(values(service, "Requires")).split()
    if values(f"{socket}.socket", "ListenStream")[0].startswith("/"):
        assert values(f"{socket}.socket", "SocketMode") == ["0660"]
        assert values(f"{socket}.socket", "SocketGroup")[0] in {"dynod", "dynod-link"}


def test_one_target_brings_all_of_it():
    wanted = set(" ".join(values("dynod.target", "Wants")).split())
    assert wanted == {f"{unit}.service" for unit in SERVICES} | {f"{unit}.socket" for unit in SOCKETS}
