"""What people type wrong, and what may be closed, full or interrupted around them: one clear line, the right status, nothing done."""

import io
import os
import signal
import socket
import subprocess
import sys

import pytest

from dynod.cli.verbs import VERBS
from dynod.model.refused import Refusal, Refused

DYNO = [sys.executable, "-P", "-m", "dynod.cli"]


def refused(type_in, line):
    """Type what makes no sense; return the one line that says so."""
    status, out, err = type_in(line)
    assert (status, out, len(err.splitlines())) == (2, "", 1), err
    return err.removeprefix(" !    ").rstrip("\n")


@pytest.mark.parametrize(
    "line",
    [
        ["config", "-a", ""],
        ["config", "--app="],
        ["destroy", "-a", "demo", "--confirm", ""],
        ["apps", "--run", ""],
        ["run", "--size", "", "-a", "demo", "true"],
    ],
)
def test_a_flag_whose_value_is_a_variable_that_nobody_set_is_refused(control, type_in, line):
    assert "its value is empty" in refused(type_in, line)
    assert control.calls == []


def test_no_further_config_vars_for_a_dyno_are_fine(control, type_in):
    control.answers["dynos.create"] = {"name": "run.7", "size": "Basic"}
    assert type_in(["run:detached", "-a", "demo", "-e", "", "true"])[0] == 0


@pytest.mark.parametrize(
    "verb", [verb for verb in VERBS if verb.words and not verb.passes], ids=lambda verb: verb.name
)
def test_a_word_that_is_a_variable_that_nobody_set_is_refused(control, type_in, verb):
    """An empty name would mean any app, all dynos."""
    words = [""] * max(verb.least, 1)
    assert f"cannot use '' with {verb.name}" in refused(
        type_in, [verb.name, *(["-a", "demo"] if verb.app else []), *words]
    )
    assert control.calls == []


@pytest.mark.parametrize(
    "line", [["run", ""], ["run", "  "], ["run:detached", ""], ["run:inside", "web.1", ""]]
)
def test_an_empty_command_is_not_run(control, type_in, line):
    assert refused(type_in, [*line, "-a", "demo"]).startswith("cannot run an empty command; usage: dyno run")
    assert control.calls == []


@pytest.mark.parametrize("text", ["-1", "x", "1.5", "²", "٣", "1" * 30, "1_0"])
@pytest.mark.parametrize("verb", ["logs", "releases", "why web.1", "autopsy web.1"])
def test_what_is_no_number_is_told_to_be_none(control, type_in, verb, text):
    said = refused(type_in, [*verb.split(), "-a", "demo", "-n", text])
    least = 0 if verb == "logs" else 1
    assert said == f"cannot use --num {text!r}: it takes a whole number from {least} to 1000000"
    assert control.calls == []


def test_a_time_of_many_digits_is_no_time(type_in):
    assert refused(type_in, ["lab:advance", "9" * 5000 + "d"]).startswith("cannot read '999")


def test_a_word_that_is_no_utf8_is_told(control, type_in):
    assert (
        refused(type_in, ["config:set", "-a", "demo", "A=\udcff"])
        == r"cannot read 'A=\udcff': it is not UTF-8"
    )
    assert control.calls == []


def test_flags_before_the_verb_are_told_to_come_behind(type_in):
    assert "'--run'; the verb comes first, then its flags" in refused(
        type_in, ["--run", "/run/other", "apps"]
    )


@pytest.mark.parametrize(
    ("verb", "says"),
    [
        ("login", "nobody logs in here"),
        ("buildpacks:search", 'eval "$(dyno env)"'),
        ("pg:psql", "nothing of it is here"),
        ("addons", "nothing of it is here"),
        ("conifg:set", "did you mean config:set?"),
        ("ünï", "see dyno help"),
    ],
)
def test_a_verb_of_herokus_that_is_not_here_is_not_taken_for_another(type_in, verb, says):
    assert says in refused(type_in, [verb, "-a", "demo"])


def test_two_apps_are_not_one(control, type_in):
    assert (
        refused(type_in, "destroy one -a two --confirm one") == "cannot tell which app is meant: one or two"
    )
    assert refused(type_in, "info one -a two") == "cannot tell which app is meant: one or two"
    assert control.calls == []


def test_two_dynos_are_not_one(control, type_in):
    for verb in ("ps:restart", "ps:stop"):
        assert "cannot take web.1 and web.2 at once" in refused(type_in, f"{verb} web.1 -d web.2 -a demo")
    assert "cannot take both a dyno and a process type" in refused(type_in, "logs -d web.1 -p web -a demo")
    assert control.calls == []


def test_a_word_that_is_no_dynos_name_is_a_process_type(control, type_in):
    control.answers |= {"dynos.restart-type": {}, "dynos.stop-type": {}}
    assert type_in("ps:restart web -a demo")[2] == "Restarting all web dynos on ⬢ demo... done\n"
    assert type_in("ps:stop worker -a demo")[2] == "Stopping all worker dynos on ⬢ demo... done\n"


def test_more_dynos_than_any_app_may_have_are_not_asked_for(control, type_in):
    assert refused(type_in, "ps:scale web=9999999 -a demo") == (
        "cannot scale by 'web=9999999': an app may have 100 dynos in all"
    )
    assert control.calls == []


def test_a_config_var_without_a_name_is_not_set(control, type_in):
    assert refused(type_in, "config:set =x -a demo") == "cannot set =x: it must be in the format KEY=VALUE"
    assert control.calls == []


@pytest.mark.parametrize(
    ("line", "asks", "kind", "says"),
    [
        ("info -a nope", "apps.info", "app", "cannot find the app 'nope'; dyno apps lists those there are"),
        ("logs -a nope", "logs.read", "app", "cannot find the app 'nope'; dyno apps lists those there are"),
        (
            "rollback v99 -a demo",
            "releases.info",
            "release",
            "cannot find the release 'v99' of demo; dyno releases lists those there are",
        ),
        (
            "builds:info b -a demo",
            "builds.info",
            "build",
            "cannot find the build 'b' of demo; dyno builds lists those there are",
        ),
        (
            "ps:stop -p nope -a demo",
            "dynos.stop-type",
            "dyno",
            "cannot find the dyno 'nope' of demo; dyno ps lists those there are",
        ),
    ],
)
def test_what_is_not_there_is_told_with_its_name_and_the_way_out(control, type_in, line, asks, kind, says):
    """The API says it in Heroku's words, which hold neither."""
    control.answers[asks] = Refused(Refusal.NOT_FOUND, f"Couldn't find that {kind}.")
    status, _, err = type_in(line)
    assert (status, err.splitlines()[-1]) == (1, f" !    {says}")


# -- being asked -----------------------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("typed", ["", "\n", "other\n"])  # "" is Ctrl-D
def test_who_does_not_type_the_name_destroys_nothing(control, type_in, monkeypatch, typed):
    monkeypatch.setattr(sys, "stdin", Terminal(typed))
    status, out, err = type_in("destroy demo")
    assert (status, out) == (1, "")
    assert "To proceed, type demo or re-run this command with --confirm demo\n" in err
    assert err.splitlines()[-1].endswith(
        f"the confirmation {typed.strip()!r} is not demo; nothing was changed"
    )
    assert [method for method, _ in control.calls] == ["apps.info"]


def test_who_types_the_name_destroys(control, type_in, monkeypatch):
    control.answers["apps.destroy"] = {}
    monkeypatch.setattr(sys, "stdin", Terminal("demo\n"))
    assert type_in("destroy demo")[0] == 0
    assert control.asked("apps.destroy") == {"app": "demo"}


def test_where_nobody_can_be_asked_nothing_is_destroyed(control):
    done = subprocess.run(
        [*DYNO, "destroy", "demo"], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1] == " !    cannot do that unasked: say --confirm demo"
    assert [method for method, _ in control.calls] == ["apps.info"]


# -- git remotes -----------------------------------------------------------------------------------------------------


def test_create_leaves_a_git_remote_that_leads_elsewhere_and_says_so(control, type_in):
    """As Heroku's CLI: who comes with an app of theirs keeps the way to it."""
    url = "https://git.heroku.com/mine.git"
    subprocess.run(["git", "init", "-q", "."], check=True)
    subprocess.run(["git", "remote", "add", "heroku", url], check=True)
    control.answers["apps.create"] = control.answers["apps.info"]
    status, _, err = type_in("create demo")
    assert status == 0
    assert f"the git remote heroku is {url} and stays so" in err
    assert err.endswith("run: dyno git:remote -a demo\n")
    assert subprocess.check_output(["git", "remote", "get-url", "heroku"], text=True).strip() == url
    type_in("git:remote -a demo")
    moved = subprocess.check_output(["git", "remote", "get-url", "heroku"], text=True).strip()
    assert moved == "https://127.0.0.1:5000/demo.git"


def test_an_app_is_not_made_for_a_git_remote_that_cannot_be(control, type_in):
    subprocess.run(["git", "init", "-q", "."], check=True)
    assert refused(type_in, ["create", "demo", "-r", "bad name"]).startswith(
        "cannot make a git remote 'bad name'"
    )
    assert control.calls == []


# -- what is around ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize("verb", ["help", "apps", "info -a nope", "run -a nope true"])
def test_closed_descriptors_change_nothing_but_what_is_seen(control, number, verb):
    whole = subprocess.run([*DYNO, *verb.split()], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    shut = subprocess.run(
        ["sh", "-c", f'exec "$@" {number}{"<" if number == 0 else ">"}&-', "sh", *DYNO, *verb.split()],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    assert shut.returncode == whole.returncode
    assert shut.stdout == (b"" if number == 1 else whole.stdout)
    assert shut.stderr == (b"" if number == 2 else whole.stderr)


def test_where_nothing_more_can_be_written_one_line_says_so():
    with open("/dev/full", "w") as full:
        done = subprocess.run([*DYNO, "help"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, " !    cannot go on: No space left on device\n")


@pytest.mark.parametrize("verb", ["help", "info -a nope", "run -a nope true"])
@pytest.mark.parametrize("both", [False, True], ids=["stdout", "stderr too"])
def test_a_reader_who_has_gone_is_no_error(control, verb, both):
    hears, says = os.pipe()
    os.close(hears)
    env = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with os.fdopen(says, "wb") as shut:
        done = subprocess.run(
            [*DYNO, *verb.split()],
            env=env,
            stdout=shut,
            stderr=shut if both else subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            check=False,
        )
    assert done.returncode in ({141} if both or verb == "help" else {1})
    assert both or "Traceback" not in done.stderr
    assert both or "Exception ignored" not in done.stderr


QUICK = """\
import os, signal, sys
class Quick:
    def find_spec(self, name, path=None, target=None):
        if name == {loads!r}: os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Quick())
if {ignored}: signal.signal(signal.SIGINT, signal.SIG_IGN)
from {program} import main
sys.argv = {argv!r}
main()
"""


@pytest.mark.parametrize(
    ("program", "loads", "argv"),
    [
        ("dynod.cli.__main__", "dynod.cli.options", ["dyno", "help"]),
        ("dynod.__main__", "dynod.host.config", ["dynod", "quickstart", "--help"]),
        ("dynod.__main__", "dynod.host.config", ["dynod", "up", "--help"]),
        ("dynod.__main__", "dynod.host.config", ["dynod", "doctor", "--help"]),
    ],
)
def test_ctrl_c_before_it_has_begun_is_no_traceback(program, loads, argv):
    """The signal comes in the middle of what takes longest: its imports. Who was told to ignore it does."""
    done = {}
    for ignored in (False, True):
        code = QUICK.format(program=program, loads=loads, argv=argv, ignored=ignored)
        done[ignored] = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False
        )
    assert (done[False].returncode, done[False].stdout, done[False].stderr) == (-signal.SIGINT, "", "")
    assert (done[True].returncode, done[True].stderr) == (0, "")


def test_ctrl_c_ends_the_doctor_without_a_word():
    code = (
        "import os, signal, sys\n"
        "from dynod.cli import doctor\n"
        "from dynod.__main__ import main\n"
        "doctor.CHECKS = (lambda settings: os.kill(os.getpid(), signal.SIGINT),)\n"
        "sys.argv = ['dynod', 'doctor']\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


def test_a_run_directory_that_no_socket_can_be_in_is_told(type_in):
    status, _, err = type_in(["apps", "--run", "/tmp/" + "d" * 200])
    assert (status, "path too long" in err, len(err.splitlines())) == (1, True, 1)


@pytest.mark.parametrize(
    ("answer", "why"), [(b"", "went away before it answered"), (b"\xc1garbage", "broke off")]
)
def test_a_platform_that_goes_away_in_the_middle_is_told_with_the_way_out(tmp_path, answer, why):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{tmp_path}/control.sock")
        server.listen()
        with subprocess.Popen(
            [*DYNO, "apps", "--run", tmp_path], stderr=subprocess.PIPE, text=True
        ) as asking:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(answer)
            said = asking.stderr.read()
    assert (asking.returncode, len(said.splitlines())) == (1, 1)
    assert why in said
    assert said.endswith("; it starts again by itself, so look what was done and ask once more\n")
