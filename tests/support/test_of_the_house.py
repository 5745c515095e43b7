"""The test house itself: a session that leaves something behind fails, one that lacks something says what."""

import os
import shutil
import subprocess
import sys

import leaks
import pytest
from waiting import has_ended, run, until, until_ended, until_exists, until_listening

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def session(tmp_path, text, *arguments, **environ):
    """Run a test session of its own with the house's conftest over one test module; return its status and what it printed."""
    for name in ("conftest.py", "support/leaks.py"):
        os.makedirs(os.path.dirname(f"{tmp_path}/tests/{name}"), exist_ok=True)
        shutil.copy(f"{HERE}/{name}", f"{tmp_path}/tests/{name}")
    (tmp_path / "tests" / "test_it.py").write_text(text)
    shutil.copy(f"{HERE}/../pyproject.toml", tmp_path)
    command = [sys.executable, "-m", "pytest", "tests", *arguments]
    # Its directory is beside ours and not in it, or this session would take its leaks for its own.
    place = os.path.dirname(os.environ["TMPDIR"])
    ended = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": place, "DYNOD_TEST_SHARED": "1", **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    return ended.returncode, ended.stdout + ended.stderr


def test_a_clean_session_passes(tmp_path):
    status, said = session(tmp_path, "def test_it(tmp_path): (tmp_path / 'x').write_text('x')")
    assert status == 0, said


def test_a_process_that_is_left_fails_the_session(tmp_path):
    leaky = (
        "import subprocess\n"
        "def test_it():\n"
        "    p = subprocess.Popen(['setsid', 'sleep', '60'], stdout=-3, stderr=-3)\n"
        "    print('left', p.pid)\n"
        "    p.returncode = 0\n"
    )
    status, said = session(tmp_path, leaky, "-s")
    pid = int(said.partition("left ")[2].split()[0])
    os.kill(pid, 9)
    assert status == 1
    assert "this test session left behind:" in said
    assert f"process: {pid} sleep 60" in said


@pytest.mark.linux("mount")
def test_a_mount_that_is_left_fails_the_session(tmp_path):
    leaky = (
        "import subprocess\n"
        "def test_it(tmp_path):\n"
        "    print('left', tmp_path)\n"
        "    subprocess.run(['mount', '-t', 'tmpfs', 'tmpfs', tmp_path], check=True)\n"
    )
    status, said = session(tmp_path, leaky, "-s")
    place = said.partition("left ")[2].split()[0]
    subprocess.run(["umount", place], check=True)
    shutil.rmtree(place.partition("/pytest-of")[0], ignore_errors=True)
    assert status == 1
    assert f"mount: {place} (tmpfs)" in said


def test_what_is_missing_is_named(tmp_path):
    needy = (
        "import pytest\n@pytest.mark.linux('no-such-program')\ndef test_it(): raise AssertionError('ran')\n"
    )
    status, said = session(tmp_path, needy)
    assert status == 0
    word = "no-such-program" if os.geteuid() == 0 else "root"
    assert "skipped 1: needs" in said
    assert word in said


def test_things_without_a_mark_are_told_apart_from_ours():
    before = {"network link": {"veth0": "{}"}, "mount": {}}
    after = {
        "network link": {"veth0": "{}", "dv1": "{}"},
        "mount": {"/tmp/dt-1/x (tmpfs)": "... /tmp/dt-1/x ..."},
    }
    found = leaks.left(before, after, "dt-1")
    assert [(str(thing), thing.ours) for thing in found] == [
        ("network link: dv1", False),
        ("mount: /tmp/dt-1/x (tmpfs)", True),
    ]


def test_waiting_for_a_file_a_process_and_a_socket(tmp_path):
    async def story():
        code = (
            "import os, socket, sys\n"
            "open(sys.argv[1] + '/file', 'w').close()\n"
            "s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1] + '/sock'); s.listen()\n"
            "os.read(0, 1)\n"
        )
        with subprocess.Popen([sys.executable, "-c", code, tmp_path], stdin=subprocess.PIPE) as process:
            await until_exists(f"{tmp_path}/file")
            await until_listening(f"{tmp_path}/sock")
            assert not has_ended(process.pid)
            process.stdin.close()
            await until_ended(process.pid)
        assert has_ended(process.pid)
        with pytest.raises(AssertionError, match="in vain: never"):
            await until(lambda: False, watch=[str(tmp_path)], cap=0.01, what="never")

    run(story())
