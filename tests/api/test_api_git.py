"""git over real HTTPS with the real git, and a stub where slugc's hook will be."""

import asyncio
import os

import pytest

from tests.api.git_client import HOOK, address, hook, push, pushing, shell, trusting, work_tree
from tests.api.served import run


def test_a_push_runs_the_hook_and_shows_what_it_says(tmp_path):
    async def story(whole):
        await whole.ask("POST", "/apps", {"name": "demo"})
        tree = await work_tree(tmp_path / "work")
        status, said = await push(whole, tree)
        assert status == 0, said
        assert "remote: -----> reading refs/heads/main" in said
        assert "remote: DYNOD_APP=demo" in said
        assert f"remote: DYNOD_CONTROL={whole.run}/control.sock" in said
        assert f"remote: DYNOD_CHECKOUT_BYTES={1024**3}" in said
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
        child = await pushing(whole, tree)
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
        child = await pushing(whole, tree)
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
