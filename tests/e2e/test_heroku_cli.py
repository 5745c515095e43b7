"""The official `heroku` CLI against this platform, reading what it prints. The app pushed is a Procfile and nothing else."""

import contextlib
import fcntl
import os
import pty
import re
import signal
import uuid

import pytest

from tests.e2e.heroku_client import MARKS, Heroku, fresh, heroku, programs, ready, until

__all__ = ["heroku", "programs", "ready"]  # fixtures
pytestmark = MARKS

PROCFILE = "web: echo ready to serve; exec python3 -m http.server $PORT\nworker: exec cat\n"


@pytest.fixture(scope="module")
def pushed(heroku):
    """Return the CLI set on an app that was made by it and pushed with git through its own credential helper."""
    name, tree = fresh(), f"{heroku.home}/work"
    os.mkdir(tree)
    with open(f"{tree}/Procfile", "w") as file:
        file.write(PROCFILE)
    heroku.git("init", "-q", "-b", "main", cwd=tree)
    heroku.git("add", ".", cwd=tree)
    heroku.git("commit", "-qm", "First", cwd=tree)
    assert f"Creating {name}... done" in heroku("apps:create", name, cwd=tree)
    said = heroku.git("push", "heroku", "main", cwd=tree)
    assert "remote: -----> Building on the" in said
    assert "remote: Verifying deploy... done." in said
    app = Heroku(heroku.env, heroku.home, name)
    app.on("ps:wait")
    yield app
    heroku("apps:destroy", "-a", name, "--confirm", name)


# -- stories --------------------------------------------------------------------------------------------------------


def test_whoami(heroku):
    assert re.search(r"^\S+@\S+$", heroku("auth:whoami"), re.MULTILINE)


def test_an_app_is_made_listed_found_and_destroyed(heroku, ready):
    name = fresh()
    said = heroku("apps:create", name, "--no-remote")
    assert f"Creating {name}... done" in said
    assert f"{ready['api']}/{name}.git" in said
    assert name in heroku("apps")
    info = heroku("apps:info", "-a", name)
    assert re.search(rf"Git URL:\s+{ready['api']}/{name}\.git", info)
    assert re.search(r"Owner:\s+\S+@\S+", info)
    assert re.search(r"Stack:\s+\S+", info)
    said = heroku("apps:destroy", "-a", name, "--confirm", name)
    assert re.search(rf"Destroying {name} .*done", said)
    assert name not in heroku("apps")
    assert "Error ID: not_found" in heroku("apps:info", "-a", name, status=2)


def test_a_taken_name_is_refused_in_words(pushed):
    said = pushed("apps:create", pushed.app, "--no-remote", status=2)
    assert "Error ID: invalid_params" in said
    assert pushed.app in said


def test_git_remote_names_the_repository(pushed, ready):
    tree = f"{pushed.home}/other"
    pushed.git("init", "-q", tree, cwd=pushed.home)
    assert "set git remote heroku" in pushed.on("git:remote", cwd=tree)
    assert pushed.git("remote", "get-url", "heroku", cwd=tree).strip() == f"{ready['api']}/{pushed.app}.git"


def test_a_clone_has_what_was_pushed(pushed):
    pushed.on("git:clone", f"{pushed.home}/cloned")
    with open(f"{pushed.home}/cloned/Procfile") as file:
        assert file.read() == PROCFILE


def test_config_is_set_shown_and_taken_away(pushed):
    said = pushed.on("config:set", "GREETING=grüß dich", "OTHER=1")
    assert re.search(r"Setting GREETING, OTHER and restarting \S+... done, v\d+", said)
    shown = pushed.on("config")
    assert re.search(r"GREETING:\s+grüß dich", shown)
    assert pushed.on("config:get", "OTHER").strip().endswith("1")
    assert re.search(
        r"Unsetting GREETING and restarting \S+... done, v\d+", pushed.on("config:unset", "GREETING")
    )
    assert "GREETING" not in pushed.on("config")


def test_dynos_are_shown_scaled_and_restarted(pushed):
    assert re.search(r"^web\.1: \w+ ", pushed.on("ps"), re.MULTILINE)
    said = pushed.on("ps:scale", "web=2", "worker+1:Standard-2X")
    assert "now running web at 2:Standard-1X, worker at 1:Standard-2X" in said
    shown = pushed.on("ps")
    assert "web.2: " in shown
    assert "worker.1: " in shown
    assert "Restarting dyno web.1 on " in pushed.on("ps:restart", "--dyno-name", "web.1")
    assert "Restarting all dynos on " in pushed.on("ps:restart")
    assert "now running web at 1:Standard-1X" in pushed.on("ps:scale", "web=1", "worker=0")
    assert "web=1:Standard-1X worker=0:Standard-2X" in pushed.on("ps:scale")


def test_an_eco_app_shows_the_hours_that_are_left(pushed):
    assert "now running web at 1:Eco" in pushed.on("ps:type", "web=eco") + pushed.on("ps:scale", "web=1:eco")
    shown = pushed.on("ps")
    assert re.search(r"Eco dyno hours quota remaining this month: (999h \d+m|1000h 0m) \(\d+%\)", shown)
    assert re.search(r"Eco dyno usage for this app: 0h \d+m \(0%\)", shown)
    assert "web (Eco): " in shown
    pushed.on("ps:scale", "web=1:standard-1x")


def test_logs_are_read(pushed):
    pushed.on("ps:wait")
    line = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00 app\[web\.1\]: ready to serve$"
    assert re.search(line, pushed.on("logs", "--num", "1500", "--source", "app"), re.MULTILINE)
    assert "app[web.1]" not in pushed.on("logs", "--num", "1500", "--dyno-name", "none.1")


def test_a_tail_shows_what_happens(pushed):
    with pushed.running("logs", "--tail", "-a", pushed.app) as output:
        until(output, "ready to serve")
        word = f"WORD_{uuid.uuid4().hex[:8].upper()}"
        pushed.on("config:set", f"{word}=1")
        assert re.search(rf"app\[api\]: Set {word} config vars by user", until(output, f"{word} config vars"))


def test_releases_are_listed_and_rolled_back(pushed):
    listed = pushed.on("releases")
    assert re.search(r"v3\s+Deploy [0-9a-f]{8}", listed)
    assert re.search(r"v1\s+Initial release", pushed.on("releases", "--num", "50"))
    pushed.on("config:set", "AFTER=1")
    newest = int(re.search(r"Current: v(\d+)", pushed.on("releases"))[1])
    info = pushed.on("releases:info", f"v{newest}")
    assert re.search(r"Set AFTER config vars", info)
    assert re.search(r"AFTER[=:]\s*'?1", pushed.on("releases:info"))
    said = pushed.on("rollback", "v3")
    assert re.search(rf"Rolling back \S+ to v3\.\.\. done, v{newest + 1}", said)
    assert "AFTER" not in pushed.on("config")
    assert "Rollback to v3" in pushed.on("releases")


def test_a_one_off_runs_and_its_status_is_ours(pushed):
    assert "hello 42" in pushed("run", "-a", pushed.app, "--exit-code", "--", "echo hello $((40+2))")
    said = pushed("run", "-a", pushed.app, "--exit-code", "--", "sh -c 'echo out; exit 7'", status=7)
    assert "out" in said
    assert "exit-status" not in said


def test_a_status_comes_though_the_shell_left_before_it_told_it(pushed):
    """At Heroku the CLI ends with a traceback there: `exit`, and process types that begin with `exec`."""
    for command, status in (("exit 7", 7), ("worker", 0), ("kill -9 $$", 137)):
        said = pushed("run", "-a", pushed.app, "--exit-code", "--", command, status=status)
        assert "TypeError" not in said
        assert "exit-status" not in said


def test_what_is_not_here_is_told_in_plain_words(pushed):
    said = pushed.on("drains:add", "https://l.example/", status=2)
    assert "cannot do that: this platform has no log drains" in said
    assert "this platform has no webhooks" in pushed.on("webhooks", status=2)
    assert "heroku run:inside web.1 bash" in " ".join(pushed.on("ps:exec", "--", "ls", status=2).split())
    assert "Error" not in pushed.on("addons") + pushed("addons", "--all")
    assert "cannot use the buildpack 'some/pack'" in pushed.on("buildpacks:add", "some/pack", status=2)


def test_a_command_runs_inside_a_dyno(pushed):
    """`run:inside`, which Heroku has for Fir alone: the same rendezvous, into a dyno that runs."""
    pushed.on("ps:wait")
    argv = ("run:inside", "web.1", "-a", pushed.app, "--exit-code", "--")
    said = pushed(*argv, "sh -c 'echo in $DYNO; cat /proc/2/cmdline | tr -d \\\\0; exit 6'", status=6)
    assert "in web.1" in said
    assert "http.server" in said
    assert "exit-status" not in said


def test_a_one_off_takes_input_and_variables(pushed):
    argv = ("run", "-a", pushed.app, "--no-tty", "--exit-code", "--env", "WORD=given")
    said = pushed(*argv, "--", 'sh -c "cat; echo $WORD"', stdin="typed " * 2000 + "\n")
    assert said.count("typed") == 2000
    assert "given" in said


def test_a_one_off_has_a_terminal(pushed):
    """As a person at a keyboard: the size, typing, Ctrl-C for the program inside, and the shell's own status."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(pushed.home)
        argv = ["heroku", "run", "-a", pushed.app, "--exit-code", "--", "sh"]
        with contextlib.suppress(OSError):
            os.execvpe("heroku", argv, pushed.env | {"TERM": "xterm"})
        os._exit(127)
    try:
        fcntl.ioctl(terminal, 0x5414, b"\x21\x00\x65\x00\x00\x00\x00\x00")  # TIOCSWINSZ: 33 rows, 101 columns
        until(terminal, "run.")
        os.write(terminal, b"stty size; echo mark$((40+2))\r")
        assert "33 101" in until(terminal, "mark42")
        os.write(terminal, b"trap 'echo caught$((40+2))' INT; echo go$((1+1)); cat\r")
        until(terminal, "go2\n")
        os.write(terminal, b"typed-to-cat\r")
        until(terminal, "typed-to-cat\ntyped-to-cat\n")  # once by the terminal, once by cat: it runs
        os.write(terminal, b"\x03")
        until(terminal, "caught42")
        os.write(terminal, b"exit 9\r")
        with contextlib.suppress(OSError):
            while os.read(terminal, 65536):
                pass
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9
        pid = 0
    finally:
        if pid:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        os.close(terminal)


def test_a_detached_one_off_writes_to_the_log(pushed):
    word = f"word-{uuid.uuid4().hex[:8]}"
    said = pushed("run:detached", "-a", pushed.app, "--", f"echo {word}")
    dyno = re.search(r"run\.\d+", said)[0]
    with pushed.running("logs", "--tail", "--dyno-name", dyno, "-a", pushed.app) as output:
        assert f"app[{dyno}]: {word}" in until(output, f": {word}")


def test_maintenance_is_switched(pushed):
    assert "done" in pushed.on("maintenance:on")
    assert pushed.on("maintenance").strip().endswith("on")
    assert "done" in pushed.on("maintenance:off")
    assert pushed.on("maintenance").strip().endswith("off")


def test_the_side_services_answer(heroku, pushed):
    assert "us" in heroku("regions")
    assert "No known issues" in heroku("status")
    assert "preboot" in pushed.on("features")
    assert pushed.app in pushed.on("domains")
    assert re.search(r"web\s+Standard-1X", pushed.on("ps:type"))
    assert re.search(r"^\* \S+", pushed.on("apps:stacks"), re.MULTILINE)
    assert "Team" in heroku("teams")
