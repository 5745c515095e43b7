"""Heroku's classic buildpack contract (HEROKU.md 3.2): how bin/detect, bin/compile and bin/release are run, and nothing else.

What a program writes goes straight to the pusher, its errors merged in order, because it inherits our own stdout.
"""

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from slugc import release_yaml
from slugc.failure import BuildFailed
from slugc.fetch import Installed
from slugc.manifest import BuildRequest
from slugc.output import alarm, push_failed

DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"
# Ours, the dyno's and git's, which must not reach a stranger's program.
_OURS = ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "GIT_DIR", "SLUGC_APP_DIR", "DYNO", "PORT")
# source every file before the arguments that end with `--`, then become the program
_SOURCING = 'while [ "$1" != -- ]; do . "$1"; shift; done; shift; exec "$@"'


@dataclass(frozen=True, slots=True)
class Detected:
    """`name` as the pack prints it ("Python"), empty if it does not want the app; `said` is all that it printed."""

    name: str
    said: str


def environment(request: BuildRequest, app_dir: str, inherited: Mapping[str, str]) -> dict[str, str]:
    """What a buildpack's programs see: the machine's own (proxies, certificates), Heroku's, and no config vars."""
    return {
        "PATH": DEFAULT_PATH,
        **{name: value for name, value in inherited.items() if name not in _OURS},
        "HOME": app_dir,
        "STACK": request.stack,
        "SOURCE_VERSION": request.commit,
        "REQUEST_ID": request.request_id,
        "BUILDPACK_LOG_FILE": "/dev/null",
        "CURL_CONNECT_TIMEOUT": "30",
        "CURL_TIMEOUT": "180",
    }


def detect(pack: Installed, build_dir: str, env: Mapping[str, str]) -> Detected:
    """Ask a pack whether it wants the app."""
    try:
        done = subprocess.run(
            [pack.program("detect"), build_dir],
            env=env,
            cwd=build_dir,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
    except OSError as error:
        raise _cannot_run(pack, "detect", error) from error
    said = done.stdout.decode("utf-8", "replace")
    if done.returncode:
        return Detected("", said + done.stderr.decode("utf-8", "replace"))
    return Detected(said.strip().partition("\n")[0].strip() or str(pack.pack), said)


def compile_app(
    pack: Installed, directories: Sequence[str], env: Mapping[str, str], exports: Sequence[str]
) -> bool:
    """Run bin/compile BUILD CACHE ENV after sourcing earlier packs' `export` files; say whether it went well."""
    argv = [pack.program("compile"), *directories]
    if exports:
        argv = ["bash", "-c", _SOURCING, "bash", *exports, "--", *argv]
    try:
        done = subprocess.run(
            argv,
            env=env,
            cwd=directories[0],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
            check=False,
        )
    except OSError as error:
        raise _cannot_run(pack, "compile", error) from error
    return done.returncode == 0


def export_of(pack: Installed) -> str:
    """The file that a pack's compile left for the packs after it, or ''."""
    path = f"{pack.root}/export"
    return path if os.path.isfile(path) else ""


def release(pack: Installed, build_dir: str, env: Mapping[str, str]) -> release_yaml.ReleaseInfo:
    """Ask a pack for its defaults; a pack without bin/release has none. Raise BuildFailed."""
    if not pack.has("release"):
        return release_yaml.ReleaseInfo()
    try:
        done = subprocess.run(
            [pack.program("release"), build_dir],
            env=env,
            cwd=build_dir,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            check=False,
        )
    except OSError as error:
        raise _cannot_run(pack, "release", error) from error
    if done.returncode:
        raise BuildFailed(
            push_failed(
                alarm(f"cannot release: bin/release of {pack.pack} ended with status {done.returncode}")
            )
        )
    try:
        return release_yaml.parse(done.stdout.decode("utf-8"))
    except ValueError as error:
        raise BuildFailed(
            push_failed(alarm(f"cannot read what bin/release of {pack.pack} printed: {error}"))
        ) from error


def _cannot_run(pack: Installed, name: str, error: OSError) -> BuildFailed:
    return BuildFailed(push_failed(alarm(f"cannot run bin/{name} of {pack.pack}: {error.strerror}")))
