"""What a build brings and leaves: the cache unpacked before, everything handed out through pipes behind, nothing written to BUILD_ROOT."""

import os
import subprocess
import tarfile
import threading

import pytest
from building import REPOSITORY

NAMES = ("slug.tgz", "manifest.json", "cache.tar")


class Carried:
    """One app's builds, one after the other, each with a directory that it may not write to."""

    def __init__(self, base):
        self.base, self.count, self.cache = base, 0, b""
        self.out = {}

    def build(self, file="Procfile"):
        self.count += 1
        root = self.base / f"root{self.count}"
        for name in ("env", "doors", "tree"):
            (root / name).mkdir(parents=True)
        (root / "tree" / file).write_text("web: true")
        os.utime(root / "tree" / file, (10**9 + self.count, 10**9 + self.count))
        with tarfile.open(root / "source.tar", "w") as tar:
            tar.add(root / "tree", ".")
        (root / "request.json").write_text('{"app": "demo", "stack": "debian-12", "checkout_bytes": 1000000}')
        if self.cache:
            (root / "cache.tar").write_bytes(self.cache)
        readers = [threading.Thread(target=self._read, args=(root / "doors" / name,)) for name in NAMES]
        for name in NAMES:
            os.mkfifo(root / "doors" / name)
        for reader in readers:
            reader.start()
        before = sorted(path.name for path in root.rglob("*"))
        done = self._run("build", str(root), str(self.base / f"own{self.count}"))
        for name in NAMES:  # a build that failed opened none of them
            os.close(os.open(root / "doors" / name, os.O_RDWR | os.O_NONBLOCK))
        for reader in readers:
            reader.join(20)
        assert sorted(path.name for path in root.rglob("*")) == before
        return done

    def _run(self, *words):
        (self.base / "app").mkdir(exist_ok=True)
        env = {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "PYTHONPATH": str(REPOSITORY),
            "PYTHONDONTWRITEBYTECODE": "1",
            "SLUGC_APP_DIR": str(self.base / "app"),
            "TMPDIR": str(self.base),
        }
        argv = ["/usr/bin/python3", "-m", "slugc", *words]
        return subprocess.run(argv, env=env, cwd="/", capture_output=True, text=True, check=False)

    def _read(self, path):
        with open(path, "rb") as pipe:
            self.out[path.name] = pipe.read()


@pytest.fixture
def carried(tmp_path):
    return Carried(tmp_path)


def names(data, path):
    path.write_bytes(data)
    with tarfile.open(path) as tar:
        return tar.getnames()


def test_slug_manifest_and_cache_come_out_through_the_pipes(carried, tmp_path):
    done = carried.build()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "./app/Procfile" in names(carried.out["slug.tgz"], tmp_path / "x")
    assert b'"process_types"' in carried.out["manifest.json"]
    assert "./.slugc.json" in names(carried.out["cache.tar"], tmp_path / "x")


def test_the_next_build_finds_the_cache_as_the_last_one_left_it(carried):
    carried.build()
    slug, carried.cache = carried.out["slug.tgz"], carried.out["cache.tar"]
    carried.build()
    assert carried.out["slug.tgz"] == slug  # the date of the tree is remembered there


def archive(path):
    """A cache with one large file, as tar has it."""
    (path / "kept").write_bytes(bytes(100_000))
    subprocess.run(["tar", "-C", str(path), "-cf", str(path / "made.tar"), "kept"], check=True)
    return (path / "made.tar").read_bytes()


@pytest.mark.parametrize("left", [0, 100, 50_000], ids=["empty", "no tar", "cut off"])
def test_a_cache_that_cannot_be_read_whole_is_none(carried, tmp_path, left):
    (tmp_path / "made").mkdir()
    carried.cache = archive(tmp_path / "made")
    assert carried.build().returncode == 0
    assert "./kept" in names(carried.out["cache.tar"], tmp_path / "x")
    carried.cache = carried.cache[:left]
    assert carried.build().returncode == 0
    assert "./kept" not in names(carried.out["cache.tar"], tmp_path / "x")


def test_a_build_that_fails_leaves_nothing(carried):
    assert carried.build(file="README").returncode == 1
    assert carried.out == dict.fromkeys(NAMES, b"")
