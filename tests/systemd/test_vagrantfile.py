"""The Vagrantfile: Vagrant accepts it, and what it forwards is where the platform listens."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(300)
def test_vagrant_accepts_it(tmp_path):
    if shutil.which("vagrant") is None:
        pytest.skip("needs the program vagrant: apt-get install --no-install-recommends vagrant")
    shutil.copy(ROOT / "Vagrantfile", tmp_path)
    done = subprocess.run(
        ["vagrant", "validate", "--ignore-provider"],
        cwd=tmp_path,
        env={
            **os.environ,
            "HOME": str(tmp_path),
            "VAGRANT_HOME": str(tmp_path / "home"),
            "VAGRANT_CHECKPOINT_DISABLE": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_it_forwards_what_it_installs():
    text = (ROOT / "Vagrantfile").read_text()
    forwarded = re.findall(r'guest: (\d+), host: \d+, host_ip: "127\.0\.0\.1"', text)
    listened = re.findall(r"(?:ROUTER|API)=0\.0\.0\.0:(\d+)", text)
    assert sorted(forwarded) == sorted(listened) == ["5000", "8080"]
