"""`make install` and `make uninstall` below a DESTDIR: what lies where, that it starts, and what is kept."""

import os
import subprocess
from pathlib import Path

import pytest

from dynod.host.config import from_toml
from dynod.model.settings import Endpoint

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.linux, pytest.mark.timeout(600)]


def make(target, destination, **more):
    env = {**os.environ, "DESTDIR": str(destination), **more}
    done = subprocess.run(
        ["sh", str(ROOT / "systemd/install"), target], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    """A root directory with the platform installed in it."""
    top = tmp_path_factory.mktemp("machine")
    make("install", top, ROUTER="127.0.0.1:8888")
    return top


def test_the_units_programs_are_there_and_start(machine):
    python = machine / "opt/dynod/venv/bin/python"
    for module in ("dynod", "router"):
        done = subprocess.run(
            [python, "-P", "-m", module, "--help"], capture_output=True, text=True, cwd="/", check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
    assert (machine / "etc/systemd/system/dynod.target").exists()


def test_commands_name_where_they_will_be_and_not_where_they_were_made(machine):
    for name in ("dyno", "dynod"):
        assert os.readlink(machine / f"usr/local/bin/{name}") == f"/opt/dynod/venv/bin/{name}"
        first = (machine / f"opt/dynod/venv/bin/{name}").read_text().splitlines()[0]
        assert first.startswith("#!/opt/dynod/venv/bin/python")
    assert str(machine) not in (machine / "opt/dynod/venv/pyvenv.cfg").read_text()


def test_an_address_reaches_settings_and_socket(machine):
    settings = from_toml((machine / "etc/dynod/dynod.toml").read_text(), "dynod.toml")
    assert settings["router"] == Endpoint("127.0.0.1", 8888)
    drop_in = (machine / "etc/systemd/system/dyno-router.socket.d/address.conf").read_text()
    assert drop_in == "[Socket]\nListenStream=\nListenStream=127.0.0.1:8888\n"
    drop_in = (machine / "etc/systemd/system/dyno-router-tls.socket.d/address.conf").read_text()
    assert drop_in == "[Socket]\nListenStream=\nListenStream=127.0.0.1:9251\n"
    assert not (machine / "etc/systemd/system/dynod-api.socket.d").exists()


def test_users_and_groups_are_made(machine):
    users = [line.partition(":")[0] for line in (machine / "etc/passwd").read_text().splitlines()]
    groups = [line.partition(":")[0] for line in (machine / "etc/group").read_text().splitlines()]
    assert {"dynod", "dynod-log", "dynod-router"} <= set(users)
    assert {"dynod", "dynod-link"} <= set(groups)


def test_what_was_written_by_a_person_is_kept_by_an_upgrade_and_by_an_uninstall(machine):
    config = machine / "etc/dynod/dynod.toml"
    config.write_text('router = "127.0.0.1:9999"\n')
    (machine / "var/lib/dynod/ledger.db").write_text("everything")
    make("install", machine)
    assert config.read_text() == 'router = "127.0.0.1:9999"\n'
    said = make("uninstall", machine)
    assert (machine / "var/lib/dynod/ledger.db").read_text() == "everything"
    assert config.exists()
    assert "kept" in said
    kept = machine / "etc/dynod/units"  # the addresses, which dynod.toml names too
    left = [
        path
        for path in machine.rglob("*")
        if "dyno" in path.name and path.name not in {"dynod", "dynod.toml"} and kept not in path.parents
    ]
    assert left == []
    assert sorted(path.name for path in kept.iterdir()) == [
        "dyno-router-tls.socket.d",
        "dyno-router.socket.d",
    ]
    assert not (machine / "opt/dynod").exists()
