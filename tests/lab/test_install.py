"""`make uninstall` on a whole machine, and `make install` after it: what is kept, what is left, and that apps serve again with no hand."""

import pytest

from tests.lab.conftest import figure, serves

HOST = "/opt/dynod/venv"
LEFT = """set +e
find /etc/systemd/system /run/systemd/system /usr/lib/sysusers.d /usr/lib/tmpfiles.d /usr/local/bin -name '*dyn*'
ls -d /opt/dynod /run/dynod 2>/dev/null
nft list tables | grep dynod
ip -o link | grep -o 'dyno[0-9]*-[0-9]*'
find /sys/fs/cgroup/dynod -name cgroup.procs -exec cat {} + 2>/dev/null
losetup -nO BACK-FILE | grep /var/lib/dynod
grep -o ' /var/lib/dynod[^ ]*' /proc/mounts
ps -eo user=,args= | grep -E '^(dynod|[0-9]{6} )' | grep -v grep
true
"""
AS_IT_WAS = "systemctl show -P Listen dyno-router.socket dynod-api.socket; cat /etc/dynod/dynod.toml"


@pytest.mark.timeout(3600)
def test_an_uninstall_leaves_apps_and_settings_and_an_install_brings_everything_back(machine, app):
    before = machine.sh(AS_IT_WAS)
    said = machine.sh("make -C /srv/dynod uninstall", cap=600)
    assert "kept: /var/lib/dynod, /etc/dynod" in said
    assert machine.sh(LEFT) == ""
    assert machine.sh("systemctl --failed --plain --no-legend") == ""
    assert machine.sh("stat -c %U /var/lib/dynod/ledger.db") == "dynod\n"
    done = machine.run("make", "-C", "/srv/dynod", "install", cap=1800)  # and no address: those of before
    assert done.status == 0, done.out + done.err
    assert "apps at 0.0.0.0:8080, API at 0.0.0.0:5000;" in done.out
    assert machine.sh(AS_IT_WAS) == before
    serves(machine, app)
    figure("uninstall and install", said=said.splitlines()[-1])


@pytest.mark.timeout(3600)
def test_a_broken_environment_keeps_an_uninstall_from_leaving_dynos_to_nobody(machine, app):
    machine.sh(f"mv {HOST}/bin/python {HOST}/bin/gone")
    done = machine.run("make", "-C", "/srv/dynod", "uninstall", cap=600)
    machine.sh(f"mv {HOST}/bin/gone {HOST}/bin/python")
    assert done.status != 0
    assert "cannot end dynos and take their wires: /opt/dynod/venv is broken" in done.err
    assert machine.sh("systemctl is-active dynod.target").strip() == "active"
    serves(machine, app)


def test_the_doctor_finds_an_installed_machine_well(machine):
    """Its own ports are held by itself, which is no lack."""
    done = machine.run("dynod", "doctor")
    assert done.status == 0, done.out
    assert "MISSING" not in done.out
    for which in ("api", "router", "router tls"):
        assert [
            line
            for line in done.out.splitlines()
            if f" {which} address " in line and "held by dynod itself" in line
        ], done.out
    said = machine.sh("journalctl -b -u dyno-host --no-pager -o cat")
    assert "MISSING" not in said
