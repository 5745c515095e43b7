"""What a build writes: all of it on its own disk, up to that disk's end, and a cache that is bounded from one build to the next."""

import textwrap
from pathlib import Path

import pytest
from support import whole

pytestmark = pytest.mark.e2e
APP = "greedy"
TOO_BIG = "Warning: the build cache is larger than 40M and was thrown away; the next build begins without one"

HOOK = textwrap.dedent("""
    import glob, os
    kept = glob.glob("/tmp/build/cache/kept")
    print("it finds", os.path.getsize(kept[0]) if kept else "nothing")
    for place in ("/build", "/build/doors", "/build/out", "/build/env", "/cache"):
        try:
            open(f"{place}/mine", "w").close()
            print("it may write to", place)
        except OSError:
            pass
    with open("/tmp/build/cache/kept", "wb") as file:
        try:
            for _ in range(int(os.environ["MEGABYTES"])):
                file.write(os.urandom(1024 * 1024))
        except OSError as error:
            print("it was told", error.strerror)
    """)


@pytest.fixture(scope="module")
def platform(tmp_path_factory):
    """Builds with a disk of 200 MiB and a cache of 40; an app whose build writes as much as it is told."""
    base = tmp_path_factory.mktemp("b")
    base.chmod(0o755)
    (base / "dynod.toml").write_text(f"build_disk = {200 * 1024**2}\ncache_bytes = {40 * 1024**2}\n")
    made = whole.start(base, "--config", str(base / "dynod.toml"))
    made.tree = made.clone("shell", APP)
    (made.tree / "requirements.txt").write_text("")
    (made.tree / "bin").mkdir(exist_ok=True)
    hook = made.tree / "bin" / "post_compile"
    hook.write_text(f"#!/bin/sh\nexec python3 - <<'END'{HOOK}END\n")
    hook.chmod(0o755)
    yield made
    assert made.stop() == 0


def push(platform, megabytes):
    """Push with a build that writes so much into its cache; the transcript."""
    platform.dyno("config:set", f"MEGABYTES={megabytes}", "-a", APP)
    platform.commit(platform.tree, f"{megabytes} MiB")
    return platform.push(platform.tree, check=False)


def test_a_cache_lasts_until_it_is_too_big_and_then_the_push_says_so_and_goes_on(platform):
    assert "it finds nothing" in push(platform, 2)
    said = push(platform, 41)
    assert f"it finds {2 * 1024**2}" in said
    assert TOO_BIG in said
    assert "Verifying deploy... done." in said
    said = push(platform, 1)
    assert "it finds nothing" in said
    assert TOO_BIG not in said
    assert "it may write to" not in said


def test_a_build_that_fills_its_disk_takes_nobody_else_s(platform):
    before = used(platform)
    said = push(platform, 400)
    assert "it was told No space left on device" in said
    assert used(platform) - before < 20 * 1024**2


def used(platform):
    """Bytes below STATE that a build may have left: its own directory, its cache, slugs."""
    rooms = [Path(platform.state, name) for name in ("builds", "cache", "slugs", "programs")]
    return sum(path.lstat().st_blocks * 512 for room in rooms for path in room.rglob("*"))
