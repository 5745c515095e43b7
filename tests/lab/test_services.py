"""The platform as a service on cgroup v2 alone: who runs as whom, who listens, and what restarts and deaths cost under load."""

import pytest

from tests.lab.under_load import cost

UNITS = ("dyno-net", "dyno-logplex", "dynod", "dyno-host", "dyno-router")
NOT_ROUTER = UNITS[:-1]
WATCHDOG = 60  # WatchdogSec= of the units
AGAIN = (
    "until [ $(systemctl show -P ActiveState {unit}) = active -a $(systemctl show -P MainPID {unit}) != $old_{name} ]; "
    "do sleep 0.2; done"
)


def main_pid(unit):
    return f"old_{unit.replace('-', '_')}=$(systemctl show -P MainPID {unit})"


def again(unit):
    """Wait until another process of the unit serves."""
    return AGAIN.format(unit=unit, name=unit.replace("-", "_"))


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
        "dynod": "dynod",
        "dyno-host": "root",
        "dyno-router": "dynod-router",
    }
    assert machine.sh("systemctl --failed --plain --no-legend") == ""


def test_who_talks_to_strangers_has_no_capability(machine):
    for unit in ("dyno-router", "dyno-logplex", "dynod"):
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
def test_a_restart_fails_no_request_ends_no_dyno_and_loses_no_line(machine, app, counting, unit, words):
    found = cost(machine, app, f"systemctl restart {unit}").figure("restart under load", unit=unit)
    assert found.requests > 10
    assert (found.failed, found.dynos_ended, found.missing) == (0, 0, 0), found


@pytest.mark.parametrize("unit", NOT_ROUTER)
def test_a_death_fails_no_request_ends_no_dyno_and_loses_no_line(machine, app, counting, unit, words):
    script = f"{main_pid(unit)}; systemctl kill -s KILL --kill-who=main {unit}; {again(unit)}"
    found = cost(machine, app, script).figure("SIGKILL under load", unit=unit)
    assert (found.failed, found.dynos_ended, found.missing) == (0, 0, 0), found


def test_a_router_whose_every_process_is_killed_fails_what_it_had_and_nothing_else(
    machine, app, counting, words
):
    script = f"{main_pid('dyno-router')}; systemctl kill -s KILL dyno-router; {again('dyno-router')}"
    found = cost(machine, app, script).figure("SIGKILL under load", unit="dyno-router")
    assert found.failed <= 3, found  # as many as ask at the same time (lab/load.py)
    assert (found.dynos_ended, found.missing) == (0, 0), found


@pytest.mark.timeout(900)
def test_programs_that_hang_for_a_minute_are_replaced_while_apps_serve(machine, app, counting, words):
    script = "\n".join(
        [
            *(main_pid(unit) for unit in NOT_ROUTER),
            *(f"kill -STOP ${main_pid(unit).partition('=')[0]}" for unit in NOT_ROUTER),
            f"sleep {WATCHDOG}",
            *(again(unit) for unit in NOT_ROUTER),
        ]
    )
    found = cost(machine, app, script).figure("SIGSTOP until the watchdog acts, all four at once")
    assert (found.failed, found.dynos_ended, found.missing) == (0, 0, 0), found
    for unit in NOT_ROUTER:
        assert "watchdog" in machine.sh(f"journalctl -b -u {unit} --no-pager | grep -i watchdog")


def test_a_control_plane_that_finds_no_memory_is_started_again_while_apps_serve(
    machine, app, counting, words
):
    """Half of what it needs: the kernel kills it inside its own group, systemd starts it, and so on until there is enough again."""
    script = "\n".join(
        [
            main_pid("dynod"),
            "systemctl set-property --runtime dynod.service MemoryMax=24M MemorySwapMax=0",
            again("dynod").replace("active", "activating"),
            "sleep 5",
            "systemctl set-property --runtime dynod.service MemoryMax=infinity",
            again("dynod"),
            "dyno ps -a hello | grep 'web.1: up'",
        ]
    )
    found = cost(machine, app, script).figure("too little memory for the control plane")
    assert (found.failed, found.dynos_ended, found.missing) == (0, 0, 0), found
    killed = machine.sh("journalctl -b -k --no-pager | grep -o 'oom-kill:.*' || true")
    assert "oom_memcg=/dynod.slice/dynod.service," in killed, killed


def test_a_command_waits_for_a_control_plane_that_is_being_started_again(machine, app):
    machine.sh("kill -9 $(systemctl show -P MainPID dynod); dyno ps -a hello | grep 'web.1: up'")
