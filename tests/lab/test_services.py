"""The platform as a service on cgroup v2 alone: who runs as whom, who listens, and what a restart or a death costs under load."""

import json

import pytest

from tests.lab.conftest import figure

UNITS = ("dyno-net", "dyno-logplex", "dynod", "dyno-host", "dyno-router")


def under_load(machine, app, script):
    """Run a script while requests are made; return what became of the requests, and the pids of dynos before and after."""
    dynos = "cat $(find /sys/fs/cgroup/dynod -name cgroup.procs -path '*/*/*') | sort -n | xargs -r ps -o pid=,comm= -p | grep python3 || true"
    before = machine.sh(dynos)
    machine.sh(
        "rm -f /root/load.json; systemd-run -q --unit=load -p WorkingDirectory=/srv/dynod "
        f"python3 -m lab.load http://127.0.0.1:8080/ {app}.localhost /root/load.json"
    )
    machine.sh("sleep 3")
    seconds = float(
        machine.sh(f"began=$(date +%s%N); {script}; echo $((($(date +%s%N) - began) / 1000000))").split()[-1]
    )
    machine.sh("sleep 3; systemctl stop load")
    tally = json.loads(machine.sh("cat /root/load.json"))
    return tally, seconds / 1000, before, machine.sh(dynos)


def test_the_machine_has_nothing_but_version_2_groups(machine):
    assert "cgroup2" in machine.sh("stat -f -c %T /sys/fs/cgroup; grep cgroup /proc/mounts")
    assert machine.sh("awk '$3 == \"cgroup\"' /proc/mounts") == ""


def test_every_unit_runs_and_as_whom_it_says(machine):
    said = machine.sh(
        "for unit in " + " ".join(UNITS) + "; do ps -o user:20= -p $(systemctl show -P MainPID $unit); done"
    )
    assert dict(zip(UNITS, said.split(), strict=True)) == {
        "dyno-net": "root",
        "dyno-logplex": "dynod-log",
        "dynod": "root",
        "dyno-host": "root",
        "dyno-router": "dynod-router",
    }
    assert machine.sh("systemctl --failed --plain --no-legend") == ""


def test_router_and_logplex_have_no_capability(machine):
    for unit in ("dyno-router", "dyno-logplex"):
        masks = machine.sh(
            f"grep -E 'Cap(Inh|Prm|Eff|Bnd|Amb)' /proc/$(systemctl show -P MainPID {unit})/status"
        )
        assert {line.split()[1] for line in masks.splitlines()} == {"0" * 16}


def test_a_dyno_is_worth_less_to_the_kernel_than_the_platform(machine, app):
    scores = machine.sh(
        "cat $(find /sys/fs/cgroup/dynod -name cgroup.procs -path '*/*/*') | while read p; do cat /proc/$p/oom_score_adj; done"
    )
    ours = machine.sh("cat /proc/$(systemctl show -P MainPID dyno-router)/oom_score_adj")
    assert min(int(score) for score in scores.split()) > 0 > int(ours)


def test_systemd_listens_for_the_router_and_the_api(machine):
    listening = machine.sh("ss -ltnp")
    for port in (5000, 8080):
        (line,) = [line for line in listening.splitlines() if f"0.0.0.0:{port} " in line]
        assert '"systemd",pid=1' in line


@pytest.mark.parametrize("unit", UNITS)
def test_a_restart_fails_no_request_and_ends_no_dyno(machine, app, unit):
    tally, seconds, before, after = under_load(machine, app, f"systemctl restart {unit}")
    figure("restart under load", unit=unit, seconds=round(seconds, 1), **tally)
    assert tally["failed"] == 0, tally
    assert tally["requests"] > 10
    assert before == after != ""


@pytest.mark.parametrize("unit", ["dyno-net", "dyno-logplex", "dynod", "dyno-host"])
def test_a_death_fails_no_request_and_ends_no_dyno(machine, app, unit):
    script = (
        f"old=$(systemctl show -P MainPID {unit}); kill -9 $old; "
        f"until [ $(systemctl show -P ActiveState {unit}) = active -a $(systemctl show -P MainPID {unit}) != $old ]; do sleep 0.2; done"
    )
    tally, seconds, before, after = under_load(machine, app, script)
    figure("SIGKILL under load", unit=unit, seconds=round(seconds, 1), **tally)
    assert tally["failed"] == 0, tally
    assert before == after != ""


def test_a_command_waits_for_a_control_plane_that_is_being_started_again(machine, app):
    machine.sh("kill -9 $(systemctl show -P MainPID dynod); dyno ps -a hello | grep 'web.1: up'")
