"""What each verb asks and prints, against a control socket that answers from a dictionary."""

import json
import os
import subprocess
import sys
import time

import pytest

from dynod.cli import page
from dynod.cli.verbs import VERBS
from dynod.model.refused import Refusal, Refused

NOW = "2026-11-20T18:00:00Z"


def dyno_row(name, **more):
    type = name.split(".")[0]
    row = {
        "name": name,
        "type": type,
        "size": "Standard-1X",
        "state": "up",
        "command": "./serve",
        "updated_at": NOW,
    }
    return row | more


def release_row(version, **more):
    row = {
        "id": f"r-{version}",
        "version": version,
        "status": "succeeded",
        "description": "Deploy 1a2b3c4d",
        "current": False,
        "eligible_for_rollback": True,
        "created_at": NOW,
        "user": {"email": "admin@localhost"},
        "addon_plan_names": [],
        "output_stream_url": None,
    }
    return row | more


def test_config_is_printed_as_herokus_cli_does(control, type_in):
    control.answers["config.info"] = {"LONGER": "b c", "A": "1"}
    assert type_in("config -a demo") == (0, "=== ⬢ demo Config Vars\n\nA:      1\nLONGER: b c\n", "")
    assert type_in("config -s -a demo")[1] == "LONGER='b c'\nA=1\n"
    assert json.loads(type_in("config --json -a demo")[1]) == {"LONGER": "b c", "A": "1"}
    assert type_in("config:get A NONE -a demo")[1] == "1\n\n"


def test_config_set_says_the_release(control, type_in):
    control.answers |= {
        "config.update": {"FOO": "bar=baz", "OLD": "x"},
        "releases.list": [release_row(4), release_row(5)],
    }
    status, out, err = type_in(["config:set", "FOO=bar=baz", "-a", "demo"])
    assert (status, out) == (0, "FOO: bar=baz\n")
    assert err == "Setting FOO and restarting ⬢ demo... done, v5\n"
    assert control.asked("config.update") == {"app": "demo", "body": {"FOO": "bar=baz"}}


def test_config_unset_sends_null(control, type_in):
    control.answers |= {"config.update": {}, "releases.list": [release_row(6)]}
    assert (
        type_in("config:unset FOO BAR -a demo")[2] == "Unsetting FOO, BAR and restarting ⬢ demo... done, v6\n"
    )
    assert control.asked("config.update")["body"] == {"FOO": None, "BAR": None}


def test_scaling(control, type_in):
    rows = [
        {"type": "web", "quantity": 2, "size": "Standard-1X"},
        {"type": "worker", "quantity": 0, "size": "Basic"},
    ]
    control.answers |= {"formation.list": rows, "formation.update": rows}
    assert type_in("ps:scale -a demo")[1] == "web=2:Standard-1X worker=0:Basic\n"
    status, _, err = type_in("ps:scale web=2 -a demo")
    assert (status, err) == (0, "Scaling dynos... done, now running web at 2:Standard-1X\n")
    type_in("scale web+1:Standard-2X -a demo")
    assert control.calls[-1][1]["body"]["updates"] == [
        {"type": "web", "quantity": "+1", "size": "Standard-2X"}
    ]
    assert type_in("ps:scale web:2 -a demo")[0] == 2


def test_dynos_are_grouped_one_offs_first(control, type_in):
    control.answers["dynos.list"] = [
        dyno_row("web.10"),
        dyno_row("web.2"),
        dyno_row("run.4711", command="bash"),
    ]
    out = type_in("ps -a demo")[1]
    when = page.since(NOW)
    assert out == (
        f"=== run: one-off processes (1)\n\nrun.4711 (Standard-1X): up {when}: bash\n\n"
        f"=== web (Standard-1X): ./serve (2)\n\nweb.2: up {when}\nweb.10: up {when}\n\n"
    )
    assert "cannot find worker dynos" in type_in("ps worker -a demo")[2]


def test_ps_of_an_eco_app_tells_the_hours_that_are_left(control, type_in):
    control.answers["dynos.list"] = [
        {**dyno_row("web.1"), "size": "Eco", "app": {"id": "a1", "name": "demo"}}
    ]
    apps = [{"app_uuid": "a1", "quota_used": 7_500}, {"app_uuid": "a2", "quota_used": 3_600}]
    control.answers["account.quota"] = {"account_quota": 3_600_000, "quota_used": 11_100, "apps": apps}
    assert type_in("ps -a demo")[1].startswith(
        "Eco dyno hours quota remaining this month: 996h 55m (99%)\nEco dyno usage for this app: 2h 5m (0%)\n\n"
        "=== web (Eco): "
    )


def test_restart_and_stop_say_what(control, type_in):
    for name in ("dynos.restart", "dynos.restart-all", "dynos.restart-type", "dynos.stop", "dynos.stop-type"):
        control.answers[name] = {}
    assert type_in("ps:restart -a demo")[2] == "Restarting all dynos on ⬢ demo... done\n"
    assert type_in("ps:restart web.1 -a demo")[2] == "Restarting dyno web.1 on ⬢ demo... done\n"
    assert type_in("ps:restart -p web -a demo")[2] == "Restarting all web dynos on ⬢ demo... done\n"
    assert type_in("ps:stop run.1 -a demo")[2] == "Stopping dyno run.1 on ⬢ demo... done\n"
    assert type_in("ps:stop -a demo")[0] == 2
    asked = [(method, params.get("dyno"), params.get("type")) for method, params in control.calls]
    assert asked == [
        ("dynos.restart-all", None, None),
        ("dynos.restart", "web.1", None),
        ("dynos.restart-type", None, "web"),
        ("dynos.stop", "run.1", None),
    ]


def test_releases_newest_first_with_the_current_named(control, type_in):
    control.answers["releases.list"] = [
        release_row(1, description="Initial release"),
        release_row(3, status="failed"),
        release_row(2, current=True),
    ]
    lines = type_in("releases -a demo")[1].splitlines()
    assert lines[0] == "=== ⬢ demo Releases - Current: v2"
    assert [line.split()[0] for line in lines[2:]] == ["v3", "v2", "v1"]
    assert "Deploy 1a2b3c4d release command failed" in lines[2]
    assert [row["version"] for row in json.loads(type_in("releases -n 1 --json -a demo")[1])] == [3]


def test_rollback_without_a_word_takes_the_one_before(control, type_in):
    control.answers |= {
        "releases.list": [release_row(3), release_row(4), release_row(5, current=True)],
        "releases.create": release_row(6),
    }
    status, _, err = type_in("rollback -a demo")
    assert status == 0
    assert err.startswith("Rolling back ⬢ demo to v4... done, v6\n")
    assert control.asked("releases.create")["body"] == {"release": "r-4"}


def test_release_output_is_streamed(control, type_in):
    async def output(call):
        await call.item(b"migrating\n")
        await call.item(b"done\n")
        return {}

    control.answers |= {"releases.info": release_row(3, output_stream_url="x"), "releases.output": output}
    status, out, _ = type_in("releases:output v3 -a demo")
    assert (status, out) == (0, "migrating\ndone\n")


def test_logs_have_herokus_form(control, type_in):
    async def read(call):
        await call.item([{"at": 1_795_000_000_000_042, "source": "app", "process": "web.1", "text": "hi"}])
        return {}

    control.answers["logs.read"] = read
    assert (
        type_in("logs -n 5 -p web -s app -a demo")[1] == "2026-11-18T11:06:40.000042+00:00 app[web.1]: hi\n"
    )
    assert control.asked("logs.read")["body"] == {"lines": 5, "tail": False, "dyno": "web", "source": "app"}


def test_create_points_a_remote_in_a_repository(control, type_in, tmp_path):
    control.answers["apps.create"] = {**control.answers["apps.info"], "name": "demo"}
    subprocess.run(["git", "init", "-q", "."], check=True)
    status, out, err = type_in("create demo")
    assert (status, out) == (0, "http://demo.localhost:8080/ | https://127.0.0.1:5000/demo.git\n")
    assert err.startswith("Creating ⬢ demo... done\n")

    def config(key):
        return subprocess.check_output(["git", "config", "--get-all", key], text=True).splitlines()

    assert config("remote.heroku.url") == ["https://127.0.0.1:5000/demo.git"]
    assert config("http.https://127.0.0.1:5000/.sslCAInfo") == ["/ca.pem"]
    assert config("credential.https://127.0.0.1:5000.helper")[1].endswith(f"git:credentials --run {tmp_path}")


def test_the_app_comes_from_flag_environment_or_remote(control, type_in, monkeypatch):
    control.answers["config.info"] = {}
    assert "cannot tell which app" in type_in("config")[2]
    subprocess.run(["git", "init", "-q", "."], check=True)
    subprocess.run(["git", "remote", "add", "heroku", "https://127.0.0.1:5000/one.git"], check=True)
    subprocess.run(["git", "remote", "add", "other", "https://github.com/two.git"], check=True)
    type_in("config")
    subprocess.run(["git", "remote", "add", "staging", "https://127.0.0.1:5000/two.git"], check=True)
    status, _, err = type_in("config")
    assert (status, "the git remotes name one, two" in err) == (2, True)
    type_in("config -r staging")
    monkeypatch.setenv("HEROKU_APP", "three")
    type_in("config")
    type_in("config -a four")
    assert [params["app"] for _, params in control.calls] == ["one", "two", "three", "four"]


def test_git_asks_for_credentials_and_only_our_host_gets_them(control, capsys):
    def ask(host):
        done = subprocess.run(
            [sys.executable, "-m", "dynod.cli", "git:credentials", "get"],
            input=f"protocol=https\nhost={host}\n",
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "DYNOD_RUN": control.run},
        )
        return done.stdout

    assert ask("127.0.0.1:5000") == "username=heroku\npassword=T0\n"
    assert ask("evil.example") == ""


def test_destroy_wants_the_name_twice(control, type_in):
    control.answers["apps.destroy"] = {}
    assert type_in("destroy -a demo --confirm other")[0] == 1
    assert control.calls[-1][0] == "apps.info"
    assert (
        type_in("destroy -a demo --confirm demo")[2] == "Destroying ⬢ demo (including all add-ons)... done\n"
    )


def test_maintenance(control, type_in):
    control.answers["apps.update"] = {}
    assert type_in("maintenance -a demo")[1] == "off\n"
    assert type_in("maintenance:on -a demo")[2] == "Enabling maintenance mode for ⬢ demo... done\n"
    assert control.asked("apps.update")["body"] == {"maintenance": True}


def test_info(control, type_in):
    control.answers["dynos.list"] = [dyno_row("web.1"), dyno_row("web.2")]
    out = type_in("info -a demo")[1]
    assert "=== ⬢ demo\n" in out
    assert "Dynos:          web: 2\n" in out
    assert "Slug Size:      41 MB\n" in out
    assert "git_url=https://127.0.0.1:5000/demo.git\n" in type_in("info -s -a demo")[1]


def test_env_prints_exports(control, type_in):
    out = type_in("env")[1].splitlines()
    assert "export HEROKU_HOST=https://127.0.0.1:5000" in out
    assert "export HEROKU_API_KEY=T0" in out
    assert "export NODE_EXTRA_CA_CERTS=/ca.pem" in out


def test_a_refusal_is_one_line_and_status_one(control, type_in):
    control.answers["apps.info"] = Refused(Refusal.NOT_FOUND, "cannot find the app nope")
    assert type_in("info -a nope") == (1, "", " !    cannot find the app nope\n")


def test_a_refused_action_ends_with_its_mark(control, type_in):
    control.answers["apps.create"] = Refused(Refusal.INVALID, "cannot create demo: the name is taken")
    assert type_in("create demo -n") == (
        1,
        "",
        "Creating ⬢ demo... !\n !    cannot create demo: the name is taken\n",
    )


def test_nobody_there(tmp_path, type_in, monkeypatch):
    monkeypatch.setenv("DYNOD_RUN", str(tmp_path))
    status, out, err = type_in("apps")
    assert (status, out) == (1, "")
    assert err.startswith(f" !    cannot reach dynod at {tmp_path}/control.sock")
    assert len(err.splitlines()) == 1


def test_a_mistyped_verb_gets_a_hint(type_in):
    assert type_in("ps:scael web=1") == (
        2,
        "",
        " !    cannot find a verb 'ps:scael'; did you mean ps:scale?\n",
    )


def test_help_names_every_verb(type_in):
    status, out, _ = type_in("help")
    assert status == 0
    assert all(f"  {verb.name} " in out for verb in VERBS)
    assert type_in("ps:scale --help") == type_in("help ps:scale")


def test_a_feature_is_shown(control, type_in):
    row = {
        "name": "preboot",
        "description": "New before old",
        "doc_url": "https://d.example",
        "enabled": True,
    }
    control.answers["features.info"] = row
    for verb in ("features:info", "labs:info"):
        status, out, _ = type_in(f"{verb} preboot -a demo")
        assert (status, out) == (
            0,
            "=== preboot\n\nDescription: New before old\nDocs:        https://d.example\nEnabled:     true\n",
        )
    assert json.loads(type_in("features:info preboot -a demo --json")[1]) == row


def test_a_domain_that_is_there_is_not_waited_for(control, type_in):
    assert type_in("domains:wait -a demo") == (0, "", "")
    control.answers["domains.info"] = {"hostname": "www.example.com"}
    assert type_in("domains:wait www.example.com -a demo") == (0, "", "")
    control.answers["domains.info"] = Refused(Refusal.NOT_FOUND, "cannot find the domain")
    assert type_in("domains:wait x.example.com -a demo")[0] == 1


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb.reads], ids=lambda verb: verb.name)
def test_every_reading_verb_has_json(verb):
    assert any(flag.name == "json" for flag in verb.all_flags())


def test_times_are_herokus():
    at = 1_795_000_000
    iso = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
    assert page.since(iso, at + 59) == "2026/11/18 11:06:40 +0000 (~ 59s ago)"
    assert page.since(iso, at + 3599).endswith("(~ 59m ago)")
    assert page.since(iso, at + 24 * 3600).endswith("(~ 24h ago)")
    assert page.since(iso, at + 25 * 3600) == "2026/11/18 11:06:40 +0000"


def test_the_verb_starts_without_asyncio():
    code = "import sys; sys.argv = ['dyno', '--version']\nfrom dynod.cli.command import dyno\ndyno(sys.argv[1:])\nassert 'asyncio' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_bytes_of_a_detached_run(control, type_in):
    control.answers["dynos.create"] = dyno_row("run.7")
    status, out, err = type_in("run:detached -a demo -e A=1;B=2 echo hi")
    assert (status, err) == (0, "Running echo hi on ⬢ demo... done, run.7 (Standard-1X)\n")
    assert control.asked("dynos.create")["body"] == {
        "command": "echo hi",
        "env": {"A": "1", "B": "2"},
        "attach": False,
    }
    assert "dyno logs --app demo --dyno run.7" in out
