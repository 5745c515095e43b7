"""git over real HTTPS with the real git, and a stub where slugc's hook will be."""

import asyncio
import base64
import contextlib
import os
import subprocess
import sys

import pytest

from dynod.api import git
from tests.api.served import run

HOOK = """
import os, sys
print("-----> reading", sys.stdin.read().split()[2], file=sys.stderr, flush=True)
for name in ("DYNOD_APP", "DYNOD_CONTROL", "DYNOD_SCRATCH"):
    print(f"{name}={os.environ[name]}", file=sys.stderr, flush=True)
print("isdir", os.path.isdir(os.environ["DYNOD_SCRATCH"]), file=sys.stderr, flush=True)
"""


def hook(code):
    return (sys.executable, "-c", code)


async def shell(cwd, *argv, env=None, check=True):
    """Run a program to its end; return its status and all it said."""
    clean = {"PATH": os.environ["PATH"], "HOME": str(cwd), "GIT_CONFIG_NOSYSTEM": "1", "LANG": "C.UTF-8"}
    names = ("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"), ("GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL")
    clean |= dict.fromkeys(names[0], "A Person") | dict.fromkeys(names[1], "a@example.com")
    child = await asyncio.create_subprocess_exec(
        *argv,
        cwd=cwd,
        env=clean | (env or {}),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await child.communicate()
    assert not check or child.returncode == 0, out.decode()
    return child.returncode, out.decode()


async def work_tree(path, branch="main"):
    path.mkdir()
    await shell(path, "git", "init", "-q", "-b", branch)
    (path / "Procfile").write_text("web: ./serve\n")
    await shell(path, "git", "add", ".")
    await shell(path, "git", "commit", "-qm", "First")
    return path


def address(whole, token="owner-token", name="demo"):
    return f"https://heroku:{token}@127.0.0.1:{whole.api.api_port}/{name}.git"


def trusting(whole, **more):
    return {"GIT_SSL_CAINFO": whole.api.ca_path, "GIT_TERMINAL_PROMPT": "0", **more}


async def push(whole, tree, what="main", **kwargs):
    return await shell(tree, "git", "push", address(whole), what, env=trusting(whole), check=False, **kwargs)


def test_a_push_runs_the_hook_and_shows_what_it_says(tmp_path):
    async def story(whole):
        await whole.ask("POST", "/apps", {"name": "demo"})
        tree = await work_tree(tmp_path / "work")
        status, said = await push(whole, tree)
        assert status == 0, said
        assert "remote: -----> reading refs/heads/main" in said
        assert "remote: DYNOD_APP=demo" in said
        assert f"remote: DYNOD_CONTROL={whole.run}/control.sock" in said
        assert "remote: isdir True" in said
        assert os.listdir(f"{whole.state}/uploads") == []
        cloned = await shell(tmp_path, "git", "clone", "-q", address(whole), "copy", env=trusting(whole))
        assert cloned[0] == 0
        assert (tmp_path / "copy" / "Procfile").read_text() == "web: ./serve\n"
        assert "Everything up-to-date" in (await push(whole, tree))[1]

    run(story, hook=hook(HOOK))


def test_a_hook_that_refuses_leaves_no_ref(tmp_path):
    async def story(whole):
        await whole.ask("POST", "/apps", {"name": "demo"})
        tree = await work_tree(tmp_path / "work")
        status, said = await push(whole, tree)
        assert status == 1
        assert "remote:  !     Push rejected" in said
        assert "[remote rejected] main -> main (pre-receive hook declined)" in said
        _, refs = await shell(tree, "git", "ls-remote", address(whole), env=trusting(whole))
        assert "refs/" not in refs

    run(story, hook=hook("import sys; sys.exit(' !     Push rejected')"))


def test_output_of_the_hook_is_live(tmp_path):
    """The hook waits for a word that we send only once its first line was seen at the pusher's terminal."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    code = f"import sys; print('first', file=sys.stderr, flush=True); open({str(fifo)!r}).read(); print('second', file=sys.stderr)"

    async def story(whole):
        await whole.ask("POST", "/apps", {"name": "demo"})
        tree = await work_tree(tmp_path / "work")
        child = await asyncio.create_subprocess_exec(
            "git", "push", address(whole), "main", cwd=tree, env={**os.environ, **trusting(whole)},
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        seen = b""
        while b"first" not in seen:
            seen += await child.stderr.readline()
        await asyncio.to_thread(fifo.write_text, "go on")
        seen += await child.stderr.read()
        assert b"second" in seen
        assert await child.wait() == 0

    run(story, hook=hook(code))


def test_a_pusher_who_leaves_takes_the_hook_along(tmp_path):
    pid_file, fifo = tmp_path / "pid", tmp_path / "fifo"
    os.mkfifo(fifo)
    code = (
        f"import os, sys; open({str(pid_file)!r}, 'w').write(str(os.getpid())); print('up', file=sys.stderr, flush=True); "
        f"open({str(fifo)!r}).read()"
    )

    async def story(whole):
        await whole.ask("POST", "/apps", {"name": "demo"})
        tree = await work_tree(tmp_path / "work")
        child = await asyncio.create_subprocess_exec(
            "git", "push", address(whole), "main", cwd=tree, env={**os.environ, **trusting(whole)},
            stderr=asyncio.subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        seen = b""
        while b"up" not in seen:
            seen += await child.stderr.readline()
        descriptor = os.pidfd_open(int(pid_file.read_text()))
        gone = asyncio.Event()
        asyncio.get_running_loop().add_reader(descriptor, gone.set)
        try:
            os.killpg(child.pid, 9)
            await gone.wait()
            await child.communicate()
        finally:
            asyncio.get_running_loop().remove_reader(descriptor)
            os.close(descriptor)
        assert "refs/" not in (await shell(tree, "git", "ls-remote", address(whole), env=trusting(whole)))[1]

    run(story, hook=hook(code))


def test_pushes_to_one_app_take_turns(tmp_path):
    """Two at once: the hook sees to it that no two of it run together."""
    code = (
        f"import os, subprocess, sys; os.mkdir({str(tmp_path / 'inside')!r}); "
        f"subprocess.run([sys.executable, '-c', 'import asyncio']); os.rmdir({str(tmp_path / 'inside')!r})"
    )

    async def story(whole):
        await whole.ask("POST", "/apps", {"name": "demo"})
        tree = await work_tree(tmp_path / "work")
        results = await asyncio.gather(*(push(whole, tree, f"main:b{number}") for number in range(4)))
        assert [status for status, _ in results] == [0] * 4, results

    run(story, hook=hook(code))


def test_a_large_push_is_streamed(tmp_path):
    """Over git's http.postBuffer it comes in chunks."""

    async def story(whole):
        await whole.ask("POST", "/apps", {"name": "demo"})
        tree = await work_tree(tmp_path / "work")
        (tree / "big").write_bytes(os.urandom(8_000_000))
        await shell(tree, "git", "add", ".")
        await shell(tree, "git", "commit", "-qm", "Big")
        status, said = await push(whole, tree)
        assert status == 0, said
        await shell(tmp_path, "git", "clone", "-q", address(whole), "copy", env=trusting(whole))
        assert (tmp_path / "copy" / "big").read_bytes() == (tree / "big").read_bytes()

    run(story, hook=hook("pass"))


def test_a_long_negotiation_is_zipped_and_understood(tmp_path):
    """A fetch of many `have` lines: git zips the request's body."""

    async def story(whole):
        await whole.ask("POST", "/apps", {"name": "demo"})
        tree = await work_tree(tmp_path / "work")
        await shell(tree, "git", "commit", "-q", "--allow-empty", "-m", "theirs")
        assert (await push(whole, tree))[0] == 0
        other = await work_tree(tmp_path / "other")
        for number in range(60):
            await shell(other, "git", "commit", "-q", "--allow-empty", "-m", f"own {number}")
        _, said = await shell(
            other, "git", "-c", "protocol.version=0", "fetch", address(whole), "main",
            env=trusting(whole, GIT_TRACE_CURL="1"), check=False,
        )  # fmt: skip
        assert "Content-Encoding: gzip" in said
        assert "FETCH_HEAD" in said

    run(story, hook=hook("pass"))


def test_master_is_what_a_clone_checks_out_when_it_is_all_there_is(tmp_path):
    async def story(whole):
        await whole.ask("POST", "/apps", {"name": "demo"})
        tree = await work_tree(tmp_path / "work", "master")
        assert (await push(whole, tree, "master"))[0] == 0
        await shell(tmp_path, "git", "clone", "-q", address(whole), "copy", env=trusting(whole))
        assert (tmp_path / "copy" / "Procfile").exists()

    run(story, hook=hook("pass"))


def test_git_asks_its_helper_after_a_401(tmp_path):
    """As the official CLI sets it up: no token in the URL, a credential helper for the host."""

    async def story(whole):
        await whole.ask("POST", "/apps", {"name": "demo"})
        tree = await work_tree(tmp_path / "work")
        helper = "!f() { echo username=heroku; echo password=owner-token; }; f"
        url = f"https://127.0.0.1:{whole.api.api_port}/demo.git"
        argv = ("git", "-c", f"credential.helper={helper}", "push", url, "main")
        status, said = await shell(tree, *argv, env=trusting(whole), check=False)
        assert status == 0, said

    run(story, hook=hook("pass"))


@pytest.mark.parametrize(
    ("token", "name", "word"),
    [
        ("owner-token", "none", "remote: cannot find the app 'none'"),
        ("stranger-token", "demo", "remote: cannot deploy the app demo: it belongs to owner@example.com"),
        ("wrong", "demo", "Authentication failed"),
    ],
)
def test_a_refusal_is_shown_by_git(tmp_path, token, name, word):
    async def story(whole):
        await whole.ask("POST", "/apps", {"name": "demo"})
        status, said = await shell(
            tmp_path, "git", "ls-remote", address(whole, token, name), env=trusting(whole), check=False
        )
        assert status != 0
        assert word in said

    run(story)


@contextlib.contextmanager
def full(path):
    """Have a directory stand on a disk with no room at all."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", path], check=True)
    try:
        with open(f"{path}/ballast", "wb") as ballast:
            ballast.write(bytes(4096))
        yield
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)


@pytest.mark.linux("mount")
def test_a_push_to_a_full_disk_is_refused_by_its_name_before_anything_is_sent(tmp_path):
    async def story(whole):
        await whole.ask("POST", "/apps", {"name": "demo"})
        tree = await work_tree(tmp_path / "work")
        with full(f"{whole.state}/uploads"):
            status, said = await push(whole, tree)
            assert status != 0
            assert "remote: cannot take the push: the disk is full; make room and try again" in said
            assert "503" in said
            assert os.listdir(f"{whole.state}/uploads") == ["ballast"]
            assert (await shell(tree, "git", "ls-remote", address(whole), env=trusting(whole)))[0] == 0
        assert (await push(whole, tree))[0] == 0

    run(story, hook=hook(HOOK))


@pytest.mark.linux("mount")
def test_a_push_for_which_the_disk_became_full_meanwhile_is_told_by_git(tmp_path):
    async def story(whole):
        await whole.ask("POST", "/apps", {"name": "demo"})
        tree = await work_tree(tmp_path / "work")
        basic = "Basic " + base64.b64encode(b":owner-token").decode()
        refs = await whole.ask(
            "GET", "/demo.git/info/refs?service=git-receive-pack", token="", Authorization=basic
        )
        assert refs.status == 200
        commit = (await shell(tree, "git", "rev-parse", "main"))[1].strip()
        command = f"{'0' * 40} {commit} refs/heads/main\0 report-status side-band-64k".encode()
        with full(f"{whole.state}/uploads"):
            answer = await whole.ask(
                "POST",
                "/demo.git/git-receive-pack",
                b"%04x%s0000" % (4 + len(command), command),
                token="",
                Authorization=basic,
                Content_Type="application/x-git-receive-pack-request",
            )
            assert os.listdir(f"{whole.state}/uploads") == ["ballast"]
        why = b"cannot take the push: the disk is full; make room and try again\n"
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "application/x-git-receive-pack-result"
        packets = list(pkt_lines(answer.body))
        assert packets[0] == b"\2" + why
        assert list(pkt_lines(packets[1][1:])) == [b"unpack " + why]

    run(story, hook=hook(HOOK))


def pkt_lines(data):
    while (length := int(data[:4], 16)) != 0:
        yield data[4:length]
        data = data[length:]
    assert data == b"0000"


def test_only_smart_http_is_served():
    async def story(whole):
        await whole.ask("POST", "/apps", {"name": "demo"})
        plain = await whole.ask("GET", "/demo.git/info/refs", token="")
        assert plain.status == 403
        nobody = await whole.ask("GET", "/demo.git/info/refs?service=git-receive-pack", token="")
        assert nobody.status == 401
        assert nobody.headers["WWW-Authenticate"] == 'Basic realm="dynod"'
        bearer = await whole.ask("GET", "/demo.git/info/refs?service=git-upload-pack")
        assert (bearer.status, bearer.body[:30]) == (200, b"001e# service=git-upload-pack\n")
        for path in ("HEAD", "config", "objects/info/packs", "../../secrets/seal.key", "info/refs/x", ""):
            answer = await whole.ask("GET", f"/demo.git/{path}")
            assert answer.status == 404, path
        assert (await whole.ask("POST", "/demo.git/git-upload-archive")).status == 404
        assert (await whole.ask("GET", "/demo.git/info/refs?service=git-upload-archive")).status == 403

    run(story)


def test_a_body_that_is_no_pack_is_gits_to_refuse():
    async def story(whole):
        await whole.ask("POST", "/apps", {"name": "demo"})
        basic = "Basic " + base64.b64encode(b":owner-token").decode()
        for kind in ("application/x-git-receive-pack-request", "text/plain"):
            answer = await whole.ask(
                "POST",
                "/demo.git/git-receive-pack",
                b"garbage",
                token="",
                Authorization=basic,
                Content_Type=kind,
            )
            assert answer.status in {200, 415}

    run(story)


def test_neither_the_machines_nor_the_repositorys_configuration_names_programs(tmp_path):
    """A hook laid into the repository, and one named in its config, are not run."""

    async def story(whole):
        app = (await whole.ask("POST", "/apps", {"name": "demo"})).body
        await whole.ask("GET", "/demo.git/info/refs?service=git-upload-pack")
        repository = git.repository_path(whole.state, app["id"])
        mark = tmp_path / "mark"
        os.makedirs(f"{repository}/hooks", exist_ok=True)
        for name in ("update", "post-receive", "pre-receive"):
            with open(f"{repository}/hooks/{name}", "w") as file:
                file.write(f"#!/bin/sh\ntouch {mark}\n")
            os.chmod(f"{repository}/hooks/{name}", 0o755)
        subprocess.run(
            ["git", "--git-dir", repository, "config", "core.hooksPath", f"{repository}/hooks"], check=True
        )
        tree = await work_tree(tmp_path / "work")
        assert (await push(whole, tree))[0] == 0
        assert not mark.exists()

    run(story, hook=hook("pass"))


def test_a_destroyed_app_has_no_repository(tmp_path):
    async def story(whole):
        app = (await whole.ask("POST", "/apps", {"name": "demo"})).body
        tree = await work_tree(tmp_path / "work")
        assert (await push(whole, tree))[0] == 0
        assert os.path.isdir(git.repository_path(whole.state, app["id"]))
        await whole.ask("DELETE", "/apps/demo")
        assert not os.path.exists(git.repository_path(whole.state, app["id"]))

    run(story, hook=hook("pass"))


def test_the_shipped_hook_is_slugc_in_this_very_environment():
    assert (sys.executable, "-I", "-m", "slugc", "receive") == git.HOOK


def test_two_first_requests_make_one_repository(tmp_path):
    async def story(whole):
        await whole.ask("POST", "/apps", {"name": "demo"})
        asked = [whole.ask("GET", "/demo.git/info/refs?service=git-upload-pack") for _ in range(4)]
        assert {answer.status for answer in await asyncio.gather(*asked)} == {200}
        assert len([name for name in os.listdir(f"{whole.state}/git") if ".git" in name]) == 1

    run(story)


def test_what_git_acknowledges_is_told_to_reach_the_disk(tmp_path):
    async def story():
        path = await git.make_repository(str(tmp_path), "app-id")
        env = git._bare_env(str(tmp_path))
        _, said = await shell(path, "git", "config", "--get", "core.fsync", env=env)
        assert said == "all\n"

    os.makedirs(tmp_path / "git")
    asyncio.run(story())
