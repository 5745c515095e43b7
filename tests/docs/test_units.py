"""The systemd units: each says what the programs of `dynod up` are started with, and systemd accepts them where it is."""

import configparser
import shutil
import subprocess
from pathlib import Path

import pytest

from dynod.model.settings import Settings
from dynod.up.components import plan

UNITS = Path(__file__).parents[2] / "systemd"
OF = {
    "host": "dyno-host",
    "net": "dyno-net",
    "logplex": "dyno-logplex",
    "serve": "dynod",
    "router": "dyno-router",
}


def exec_start(unit):
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str
    parser.read(UNITS / f"{unit}.service")
    return parser["Service"]["ExecStart"].split()


@pytest.mark.parametrize(
    "component", [one for stage in plan(Settings(), None) for one in stage], ids=lambda one: one.name
)
def test_each_component_has_a_unit_that_starts_the_same_program(component):
    argv = exec_start(OF[component.name])
    program = argv[0].rpartition("/")[2]
    assert program == ("router" if component.name == "router" else "dynod")
    if program == "dynod":
        assert argv[1] == component.name
    for flag in ("--run", "--state"):
        assert argv[argv.index(flag) + 1] == component.argv[component.argv.index(flag) + 1]


def test_systemd_accepts_the_units(tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs the program systemd-analyze: install the package systemd")
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    for unit in UNITS.glob("*.service"):  # with programs that are there, since verify looks for them
        text = unit.read_text()
        for name in ("dynod", "router"):
            text = text.replace(f"/opt/dynod/.venv/bin/{name} ", f"{program} ")
        (tmp_path / unit.name).write_text(text)
    units = sorted(str(path) for path in tmp_path.glob("*.service"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True, check=False
    )
    assert (done.returncode, [line for line in done.stderr.splitlines() if "dyno" in line]) == (0, [])
