"""The repository behind git over HTTPS: what is served of it, whose configuration counts, and a disk that is full."""

import asyncio
import base64
import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dynod.api import git
from tests.api.git_client import HOOK, address, hook, push, shell, trusting, work_tree
from tests.api.served import run


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


def test_a_lock_that_a_power_cut_left_keeps_nobody_from_pushing(tmp_path):
    async def story(whole):
        await whole.ask("POST", "/apps", {"name": "demo"})
        tree = await work_tree(tmp_path / "work")
        assert (await push(whole, tree))[0] == 0
        (repository,) = (path for path in Path(whole.state, "git").iterdir() if path.suffix == ".git")
        locks = [repository / name for name in ("HEAD.lock", "packed-refs.lock", "refs/heads/main.lock")]
        for lock in locks:
            lock.touch()
        await shell(tree, "git", "commit", "-q", "--allow-empty", "-m", "second")
        status, said = await push(whole, tree)
        assert status != 0
        assert "main.lock" in said
        git.prepare(whole.state, hook(HOOK))  # as the next start does
        assert not any(lock.exists() for lock in locks)
        assert (await push(whole, tree))[0] == 0

    run(story, hook=hook(HOOK))


def test_a_repository_that_cannot_be_put_in_its_place_is_told_and_leaves_nothing(tmp_path):
    """It was taken for one that another request had made."""
    (tmp_path / "git").mkdir()
    (tmp_path / "git/app-id.git").write_text("in the way")
    with pytest.raises(NotADirectoryError):
        asyncio.run(git.make_repository(str(tmp_path), "app-id"))
    assert os.listdir(tmp_path / "git") == ["app-id.git"]
