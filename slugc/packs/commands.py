"""What our packs' compile programs share: running commands with indented output, config vars, copies of trees."""

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence

from slugc.output import alarm, note, say

# What a config var must not change while an app is built (HEROKU.md 3.2).
UNSAFE = frozenset({"PATH", "GIT_DIR", "CPATH", "CPPATH", "LD_PRELOAD", "LIBRARY_PATH", "LD_LIBRARY_PATH"})


class PackFailed(Exception):
    """The text for the pusher; it is printed as an alarm and the pack ends with status 1."""


def guarded(story: Callable[[], None]) -> int:
    """Run a pack's story; return its exit status."""
    try:
        story()
    except PackFailed as failed:
        say()
        say(alarm(str(failed)))
        return 1
    return 0


def config_vars(env_dir: str) -> dict[str, str]:
    """Every config var but the unsafe ones."""
    found: dict[str, str] = {}
    try:
        names = sorted(os.listdir(env_dir))
    except FileNotFoundError:
        return found
    for name in names:
        if name not in UNSAFE and os.path.isfile(f"{env_dir}/{name}"):
            with open(f"{env_dir}/{name}", encoding="utf-8", errors="surrogateescape") as file:
                found[name] = file.read()
    return found


def run(
    argv: Sequence[str],
    env: Mapping[str, str],
    cwd: str,
    seen: Callable[[str], None] = lambda _: None,
    shown: Callable[[str], str] = lambda line: line,
) -> int:
    """Run a command, printing its lines indented as they come; `seen` hears each, `shown` edits it. Return the status."""
    try:
        child = subprocess.Popen(
            argv, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
    except OSError as error:
        raise PackFailed(f"cannot run {argv[0]}: {error.strerror}") from error
    assert child.stdout is not None
    with child.stdout as lines:
        for raw in lines:
            line = raw.decode("utf-8", "replace").rstrip("\r\n")
            say(note(shown(line)))
            seen(line)
    return child.wait()


def answer(argv: Sequence[str], env: Mapping[str, str], cwd: str = "/") -> str | None:
    """A command's stdout, stripped; None if it failed or is not there."""
    try:
        done = subprocess.run(
            argv, env=env, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
    except OSError:
        return None
    return None if done.returncode else done.stdout.decode("utf-8", "replace").strip()


def copy_tree(source: str, target: str) -> None:
    """Copy a directory to a place where there is none, as it is; coreutils does it several times faster than shutil."""
    os.makedirs(os.path.dirname(target), exist_ok=True)
    done = subprocess.run(
        ["cp", "-a", "--reflink=auto", "--", source, target], capture_output=True, check=False
    )
    if done.returncode:
        raise PackFailed(
            f"cannot copy {source} to {target}: {done.stderr.decode('utf-8', 'replace').strip()}"
        )
