"""Apps of the make-up that people really push: `git push`, no change made for us, and they answer 200 through the router.

Their packages come from PyPI and npm at build time, inside a build dyno, through the dyno's own network.
"""

import hashlib
import http.client
import json
import os
import re
import urllib.parse

import aiohttp
import pytest
from support.waiting import run

pytestmark = [pytest.mark.e2e, pytest.mark.npm]

UPLOAD = 100 * 1024 * 1024


def _up(platform, app, *names):
    def all_up():
        shown = {dyno["name"]: dyno["state"] for dyno in platform.json("ps", "-a", app)}
        return all(shown.get(name) == "up" for name in names)

    platform.until(all_up, app)


def test_django_with_collectstatic_a_worker_a_profile_and_a_release_command(platform):
    tree = platform.clone("django", "django")
    said = platform.push(tree)
    assert "-----> Python app detected" in said
    assert "1 static file copied" in said
    assert "Release command declared" in said
    assert "Applying sessions.0001_initial... OK" in said
    assert said.index("Verifying deploy... done.") < said.index("Waiting for release.... done.")
    status, page = platform.get("django")
    assert status == 200, platform.dyno("logs", "-a", "django").stdout  # 500 without collectstatic's manifest
    assert "<h1>Hello from .profile</h1>" in page
    assert "Served by web.1" in page
    style = re.search(r'href="(/static/pages/style\.[0-9a-f]{12}\.css)"', page)[1]
    assert platform.get("django", style)[0] == 200

    platform.dyno("ps:scale", "worker=1", "-a", "django")
    _up(platform, "django", "web.1", "worker.1")
    with platform.tail("django", "--dyno", "worker.1", "--source", "app") as next_line:
        assert next_line().endswith("app[worker.1]: worker: ready")


def test_a_failed_release_command_leaves_the_running_release_alone(platform):
    before = platform.json("ps", "-a", "django")
    tree = platform.base / "tree-django"
    procfile = tree / "Procfile"
    procfile.write_text(procfile.read_text().replace("python manage.py migrate --noinput", "echo no; exit 3"))
    platform.commit(tree, "a release command that fails")
    said = platform.push(tree)
    assert "Waiting for release.... failed." in said
    newest = platform.json("releases", "-a", "django")[0]
    assert (newest["version"], newest["status"]) == (4, "failed")
    assert [dyno["id"] for dyno in platform.json("ps", "-a", "django")] == [dyno["id"] for dyno in before]
    assert platform.get("django")[0] == 200
    assert "Release v4 command failed" in platform.dyno("logs", "-a", "django", "--dyno", "api").stdout


def test_a_failed_build_leaves_the_running_release_alone(platform):
    tree = platform.base / "tree-django"
    (tree / "requirements.txt").write_text("no-such-package-that-anybody-made==9.9.9\n")
    platform.commit(tree, "a build that fails")
    done = platform.git(tree, "push", "heroku", "main", check=False)
    assert done.returncode != 0
    assert "Push rejected, failed to compile Python app." in done.stderr
    assert "! [remote rejected] main -> main (pre-receive hook declined)" in done.stderr
    assert platform.json("releases", "-a", "django")[0]["version"] == 4
    assert platform.get("django")[0] == 200


def test_a_python_that_the_stack_lacks_is_refused_with_what_it_has(platform):
    tree = platform.clone("streaming", "future")
    (tree / ".python-version").write_text("3.99\n")
    platform.commit(tree, "from the future")
    done = platform.git(tree, "push", "heroku", "main", check=False)
    assert done.returncode != 0
    assert "3.99" in done.stderr
    assert "3.11" in done.stderr  # what Debian 12 has


def test_express_with_a_lock_file_and_a_build_script(platform):
    tree = platform.clone("express", "express")
    said = platform.push(tree)
    assert "-----> Node.js app detected" in said
    assert "built public/" in said
    status, page = platform.get("express")
    assert (status, "Hello from Express" in page) == (200, True)
    assert platform.get("express", "/client.js")[0] == 200  # made by the build script
    assert json.loads(platform.get("express", "/where")[1])["dyno"] == "web.1"


def test_a_websocket_chat(platform):
    platform.deploy("websocket-chat", "chat")
    router = platform.ready["router"].replace("http://", "ws://")

    async def story():
        async with aiohttp.ClientSession(headers={"Host": "chat.localhost"}) as session:
            one, two = [await session.ws_connect(router) for _ in range(2)]
            assert await one.receive_str() == "welcome, this is web.1"
            await two.receive_str()
            await one.send_str("hello everybody")
            heard = [await each.receive_str() for each in (one, two)]
            await one.close()
            await two.close()
            return heard

    assert run(story()) == ["hello everybody"] * 2


def test_a_slow_stream_arrives_as_it_is_made_and_100_mb_go_up(platform):
    platform.deploy("streaming", "streaming")
    url = urllib.parse.urlsplit(platform.ready["router"])
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=60)
    headers = {"Host": "streaming.localhost"}

    connection.request("GET", "/stream?chunks=3&pause=0.2", headers=headers)
    answer = connection.getresponse()
    assert answer.readline() == b"chunk 1 of 3\n"
    assert not answer.isclosed()
    assert answer.read() == b"chunk 2 of 3\nchunk 3 of 3\n"

    piece = os.urandom(1024 * 1024)
    digest = hashlib.sha256()

    def pieces():
        for _ in range(UPLOAD // len(piece)):
            digest.update(piece)
            yield piece

    connection.request("PUT", "/upload", pieces(), {**headers, "Content-Length": str(UPLOAD)})
    told = json.loads(connection.getresponse().read())
    connection.close()
    assert told == {"bytes": UPLOAD, "sha256": digest.hexdigest()}


def test_a_procfile_alone_is_an_app(platform):
    platform.deploy("shell", "shell")
    assert platform.get("shell") == (
        200,
        "<!doctype html><title>Shell</title><h1>Hello from a shell app</h1>\n",
    )
    (started,) = platform.json("why", "web.1", "-a", "shell")
    assert re.fullmatch(r"release v3: Deploy [0-9a-f]{8} by admin@localhost", started["reason"])


def test_a_rollback_brings_slug_and_config_back(platform):
    platform.dyno("config:set", "COLOUR=red", "-a", "shell")
    tree = platform.base / "tree-shell"
    (tree / "www" / "index.html").write_text("second\n")
    platform.commit(tree, "second")
    platform.push(tree)
    platform.dyno("config:set", "COLOUR=blue", "-a", "shell")
    assert platform.get("shell")[1] == "second\n"
    platform.dyno("rollback", "v4", "-a", "shell")
    newest = platform.json("releases", "-a", "shell")[0]
    assert newest["description"] == "Rollback to v4"
    assert platform.json("config", "-a", "shell") == {"COLOUR": "red"}
    _up(platform, "shell", "web.1")
    assert "Hello from a shell app" in platform.get("shell")[1]
