"""The power goes in the moment in which git says that a push is done: its ref is in place, and its lock is gone."""

import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.api.git_client import HOOK, hook, push, shell, work_tree
from tests.api.served import run
from tests.lab_parts.disk import Disk

pytestmark = [pytest.mark.linux("mkfs.btrfs", "mkfs.ext4"), pytest.mark.timeout(300)]


@pytest.fixture
def disk(monkeypatch):
    """What is temporary, an API's state too, lies on it."""
    with tempfile.TemporaryDirectory(prefix="push-") as base:  # short: there are sockets below
        made = Disk(Path(base))
        monkeypatch.setattr(tempfile, "tempdir", str(made.state))
        yield made
        made.close()


def test_a_push_is_on_the_disk_with_its_ref_when_git_says_that_it_is_done(disk):
    """Nothing else is synced behind it here: on a whole platform a change that follows soon would take the ref along."""
    commits = []

    async def story(whole):
        await whole.ask("POST", "/apps", {"name": "demo"})
        tree = await work_tree(disk.base / "work")
        for message in ("second", "third"):
            await shell(tree, "git", "commit", "-q", "--allow-empty", "-m", message)
            assert (await push(whole, tree))[0] == 0
        disk.clone("cut")
        commits.append((await shell(tree, "git", "rev-parse", "HEAD"))[1].strip())

    run(story, hook=hook(HOOK))
    disk.take("cut")
    (repository,) = disk.state.glob("*/state/git/*.git")
    found = subprocess.run(
        ["git", "--git-dir", repository, "rev-parse", "main"], capture_output=True, text=True, check=False
    )
    assert list(repository.rglob("*.lock")) == []
    assert found.stdout.split() == commits
