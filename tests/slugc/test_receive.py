"""The pre-receive hook, in a real repository, pushed to by a real git, talking to a control plane of a few lines."""

import json
import os
import shlex
import socket
import subprocess
import sys
import tarfile
import threading
from dataclasses import dataclass, field

import pytest
from building import REPOSITORY, tree

from dynod.wire.rpc import Decoder, Notification, Response, encode
from slugc.receive import Rejected, Update, chosen

ZERO, ONE = "0" * 40, "1" * 40


@dataclass
class Control:
    """Answers one call: sends `items`, then `answer`; keeps what was asked and the source's files."""

    path: str
    items: list[bytes]
    answer: Response | None
    asked: list = field(default_factory=list)
    sources: list = field(default_factory=list)

    def __post_init__(self):
        self.listening = socket.socket(socket.AF_UNIX)
        self.listening.bind(self.path)
        self.listening.listen()
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        connection, _ = self.listening.accept()
        with connection:
            decoder = Decoder()
            frames = []
            while not frames:
                frames = decoder.feed(connection.recv(65536))
            request = frames[0]
            self.asked.append((request.method, request.params))
            with tarfile.open(request.params["body"]["source"]) as tar:
                self.sources.append({member.name: member for member in tar})
            for item in self.items:
                connection.sendall(encode(Notification("item", [request.id, item])))
            if self.answer is not None:
                connection.sendall(encode(self.answer))

    def close(self):
        self.listening.close()


class House:
    """A bare repository with the hook, and a clone to push from."""

    def __init__(self, base):
        self.bare, self.clone, self.scratch = base / "demo.git", base / "clone", base / "scratch"
        self.socket = str(base / "control.sock")
        self.checkout_bytes = 1024**3
        self.scratch.mkdir()
        self.git("init", "-q", "--bare", str(self.bare), cwd=base)
        self.git("init", "-q", "-b", "main", str(self.clone), cwd=base)
        hook = f"#!/bin/sh\nexec {shlex.quote(sys.executable)} -m slugc receive\n"
        tree(self.bare, {"hooks/pre-receive": hook})
        self.control = None

    def serve(self, items, answer):
        self.control = Control(self.socket, items, answer)

    def git(self, *arguments, cwd=None, check=True):
        identity = ("-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "protocol.file.allow=always")
        env = {
            **os.environ,
            "PYTHONPATH": str(REPOSITORY),
            "DYNOD_CONTROL": self.socket,
            "DYNOD_APP": "demo",
            "DYNOD_SCRATCH": str(self.scratch),
            "DYNOD_CHECKOUT_BYTES": str(self.checkout_bytes),
        }
        return subprocess.run(
            ["git", *identity, *arguments],
            cwd=cwd or self.clone,
            env=env,
            check=check,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def commit(self, files, message="First\n\nand more"):
        tree(self.clone, files)
        self.git("add", "-A")
        self.git("commit", "-qm", message)
        return self.git("rev-parse", "HEAD").stdout.strip()

    def push(self, *refs):
        """Push; return the exit status and what the remote said, line by line."""
        done = self.git("push", str(self.bare), *refs, check=False)
        said = [
            line.removeprefix("remote: ").rstrip()
            for line in done.stdout.splitlines()
            if line.startswith("remote:")
        ]
        return done.returncode, [line.removeprefix("remote:") for line in said], done.stdout


@pytest.fixture
def house(tmp_path):
    made = House(tmp_path)
    yield made
    if made.control is not None:
        made.control.close()
        made.control.thread.join(10)


DONE = Response(1, None, {"status": "succeeded"})


def test_a_push_to_main_is_built_and_its_transcript_read(house):
    commit = house.commit({"Procfile": "web: x\n", "bin/run": "#!/bin/sh\n"}, "Say hello\n\nbody")
    house.serve([b"-----> Building\n       li", b"ne\n"], DONE)
    status, said, _ = house.push("main")
    assert status == 0
    assert said == [
        "Compressing source files... done.",
        "Building source:",
        "",
        "-----> Building",
        "       line",
        "Verifying deploy... done.",
    ]
    [(method, params)] = house.control.asked
    assert method == "builds.push"
    assert params["app"] == "demo"
    assert params["body"]["commit"] == commit
    assert params["body"]["description"] == "Say hello"
    assert os.path.dirname(params["body"]["source"]) == str(house.scratch)
    [members] = house.control.sources
    assert {"Procfile", "bin/run"} <= set(members)
    assert members["bin/run"].mode & 0o100


def test_the_verified_line_is_not_said_twice(house):
    """With a release command it comes from the control plane, before the command's output; it may come in two pieces."""
    house.commit({"a": ""})
    house.serve([b"Verifying dep", b"loy... done.\nRunning release command....\n"], DONE)
    _, said, _ = house.push("main")
    assert said[-2:] == ["Verifying deploy... done.", "Running release command...."]


def test_a_failed_build_rejects_the_push(house):
    house.commit({"a": ""})
    house.serve([b" !     Push failed\n"], Response(1, None, {"status": "failed"}))
    status, said, everything = house.push("main")
    assert status == 1
    assert said[-5:] == [" !     Push failed", "Verifying deploy...", "", "!\tPush rejected to demo.", ""]
    assert "! [remote rejected] main -> main (pre-receive hook declined)" in everything
    assert house.git("ls-remote", str(house.bare)).stdout == ""


def test_a_refusal_is_told_and_nothing_left(house):
    house.commit({"a": ""})
    house.serve([], Response(1, ("conflict", "cannot build demo: another build runs"), None))
    status, said, _ = house.push("main")
    assert status == 1
    assert " !     cannot build demo: another build runs" in said
    assert "!\tPush rejected to demo." in said
    assert os.listdir(house.scratch) == []


@pytest.mark.parametrize("there", [False, True])
def test_no_control_plane(house, there):
    """It is not there, or goes away in the middle."""
    house.commit({"a": ""})
    if there:
        house.serve([b"half\n"], None)
    status, said, _ = house.push("main")
    assert status == 1
    assert " !     cannot build demo: the control plane does not answer; try again shortly" in said
    assert os.listdir(house.scratch) == []


def test_a_commit_without_files_is_no_app(house):
    house.git("commit", "-qm", "Nothing", "--allow-empty")
    status, said, _ = house.push("main")
    assert status == 1
    assert " !     cannot build: the commit has no files; git add some, commit and push again" in said
    assert os.listdir(house.scratch) == []


def test_other_branches_are_taken_and_not_built(house):
    house.commit({"a": ""})
    house.git("branch", "feature")
    status, said, _ = house.push("feature")
    assert status == 0
    assert said == [
        "Pushed to non-main branch, skipping build.",
        "To deploy feature, push it to main: git push heroku feature:main",
    ]
    assert "refs/heads/feature" in house.git("ls-remote", str(house.bare)).stdout


def test_main_cannot_be_deleted_but_a_branch_can(house):
    house.commit({"a": ""})
    house.serve([], DONE)
    assert house.push("main", "main:other")[0] == 0
    house.git("config", "receive.denyDeleteCurrent", "ignore", cwd=house.bare)
    status, said, _ = house.push(":main")
    assert status == 1
    assert " !     cannot delete main: the app is deployed from it; destroy the app instead" in said
    status, said, _ = house.push(":other")
    assert (status, any("To deploy" in line for line in said)) == (0, False)


def test_git_attributes_do_not_change_what_is_built(house):
    """A checkout has what `git archive` would leave out or rewrite."""
    house.commit(
        {
            ".gitattributes": "secret export-ignore\nversion export-subst\n",
            "secret": "s",
            "version": "$Format:%H$",
        }
    )
    house.serve([], DONE)
    assert house.push("main")[0] == 0
    [members] = house.control.sources
    assert "secret" in members
    assert members["version"].size == len("$Format:%H$")


def submodules(house, *paths):
    """Commit, as `git submodule add` does, a commit of another repository at each path."""
    commit = house.commit({".gitmodules": "".join(f'[submodule "{path}"]\n' for path in paths), "a": ""})
    for path in paths:
        house.git("update-index", "--add", "--cacheinfo", f"160000,{commit},{path}")
    house.git("commit", "-qm", "Add them")


def test_submodules_are_named_since_they_are_not_fetched(house):
    submodules(house, "vendor/x", "vendor/y\n!")
    house.serve([], DONE)
    status, said, _ = house.push("main")
    assert status == 0
    assert (
        " !     Warning: submodules are not fetched; these directories are empty in this build: vendor/x, 'vendor/y\\n!'"
        in said
    )


def test_of_many_submodules_some_are_named(house):
    submodules(house, *(f"v{number:02}" for number in range(12)))
    house.serve([], DONE)
    _, said, _ = house.push("main")
    assert any(
        line.endswith(": v00, v01, v02, v03, v04, v05, v06, v07, v08, v09 and 2 more") for line in said
    )


def test_a_gitmodules_that_names_nothing_is_no_reason_to_warn(house):
    house.commit({".gitmodules": "", "a": ""})
    house.serve([], DONE)
    _, said, _ = house.push("main")
    assert not [line for line in said if "submodules" in line]


@pytest.fixture
def full(house):
    """The place for sources is on a disk with no room at all."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", house.scratch], check=True)
    (house.scratch / "ballast").write_bytes(bytes(4096))
    yield
    subprocess.run(["umount", "--lazy", house.scratch], check=True)


@pytest.mark.linux("mount")
def test_a_source_that_finds_no_room_is_refused_by_the_disk_s_name(house, full):
    house.commit({"a": "x" * 10_000})
    status, said, _ = house.push("main")
    assert status == 1
    assert " !     cannot keep the source: the disk is full; make room and try again" in said
    assert "!\tPush rejected to demo." in said
    assert os.listdir(house.scratch) == ["ballast"]


def test_a_checkout_over_the_limit_is_refused_and_removed(house):
    house.commit({"big": "x" * 200_000})
    house.checkout_bytes = 100 * 1024
    status, said, _ = house.push("main")
    assert status == 1
    assert " !     cannot build: the checkout is larger than 100.0K" in said
    assert os.listdir(house.scratch) == []


def test_main_goes_before_master():
    main, master = Update(ZERO, ONE, "refs/heads/main"), Update(ZERO, ONE, "refs/heads/master")
    assert chosen([master, main]) == main
    assert chosen([master, Update(ZERO, ONE, "refs/tags/v1")]) == master
    assert chosen([Update(ZERO, ONE, "refs/heads/mainly")]) is None
    with pytest.raises(Rejected, match="cannot delete master"):
        chosen([main, Update(ONE, ZERO, "refs/heads/master")])


def test_it_starts_without_what_it_does_not_need():
    """The hook stands between every push and its build: no asyncio, no compiler."""
    code = "import sys, json, slugc.__main__, slugc.receive; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, check=True)
    loaded = set(json.loads(done.stdout))
    assert not loaded & {"asyncio", "slugc.compile", "tarfile", "urllib.request", "dynod.link"}
