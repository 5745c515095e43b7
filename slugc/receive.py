"""git's pre-receive hook on the host: a push to main becomes a build whose transcript the pusher reads as `remote:` lines.

Run by git-receive-pack in the repository, with the new objects in quarantine and git's environment around it. DYNOD_CONTROL is the
control plane's socket, DYNOD_APP the app's name, DYNOD_SCRATCH a directory for the source archive (the platform deletes it), and
DYNOD_CHECKOUT_BYTES how large that may be.
Nothing of what was pushed is parsed or checked out here: git writes an archive, the build dyno opens it.
"""

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dynod.model.refused import disk_fault
from dynod.wire.rpc import BadFrame, Decoder, Frame, Notification, Request, Response, encode
from slugc.output import human_size

BRANCHES = ("refs/heads/main", "refs/heads/master")
_EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"  # git's name for no files, in every repository
_HEADS = "refs/heads/"
CHECKOUT_BYTES = 1024**3  # where a control plane of before this word says nothing; HEROKU.md 3.1
CHUNK = 256 * 1024
# What a `git archive` must not do, because a checkout would not: .gitattributes can leave files out and rewrite them.
_ATTRIBUTES = "* -export-ignore -export-subst\n"
_CALL = 1
_SHOWN = 10  # submodules that are named
_VERIFIED = b"Verifying deploy..."


class Rejected(Exception):
    """The text for the pusher; the push is refused."""


@dataclass(frozen=True, slots=True)
class Update:
    """One line that git hands to the hook."""

    old: str
    new: str
    ref: str

    @property
    def deletes(self) -> bool:
        return not self.new.strip("0")


def main() -> int:
    """Answer git: 0 takes the whole push, 1 refuses it."""
    app = os.environ["DYNOD_APP"]
    updates = [Update(*line.split()) for line in sys.stdin.read().splitlines()]
    try:
        _take(app, updates)
    except Rejected as rejected:
        if str(rejected):
            _say(f"\n !     {rejected}\n")
        _say(f"Verifying deploy...\n\n!\tPush rejected to {app}.\n")
        return 1
    return 0


def chosen(updates: list[Update]) -> Update | None:
    """The one update that is built: main before master; raise Rejected for the end of either."""
    built = [update for name in BRANCHES for update in updates if update.ref == name]
    for update in built:
        if update.deletes:
            name = update.ref.removeprefix(_HEADS)
            raise Rejected(f"cannot delete {name}: the app is deployed from it; destroy the app instead")
    return built[0] if built else None


def _take(app: str, updates: list[Update]) -> None:
    """Build what is to be built; raise Rejected."""
    update = chosen(updates)
    for other in updates:
        if other is not update:
            _say("Pushed to non-main branch, skipping build.")
    if update is None:
        _tell_how(updates)
        return
    if _git("rev-parse", f"{update.new}^{{tree}}").strip() == _EMPTY_TREE:
        raise Rejected("cannot build: the commit has no files; git add some, commit and push again")
    source = _archive(update.new)
    description = _git("log", "-1", "--format=%s", update.new).strip()
    if _exists(f"{update.new}:.gitmodules") and (empty := _submodules(update.new)):
        _say(
            f" !     Warning: submodules are not fetched; these directories are empty in this build: {empty}"
        )
        _say(" !     Commit their files in their place, or let a buildpack of yours fetch them.")
    _say("Building source:\n")
    body = {"source": source, "commit": update.new, "description": description}
    try:
        status, transcript = _build({"app": app, "body": body}, app)
    except Rejected:
        _discard(source)  # it may not have been taken
        raise
    if status != "succeeded":
        raise Rejected
    if not transcript.verified:
        _say("Verifying deploy... done.")


def _tell_how(updates: list[Update]) -> None:
    """To who pushed one branch and wonders: the way that Heroku's documents name."""
    branches = [update.ref.removeprefix(_HEADS) for update in updates if update.ref.startswith(_HEADS)]
    if len(branches) == 1 and not updates[0].deletes:
        _say(f"To deploy {branches[0]}, push it to main: git push heroku {branches[0]}:main")


def _archive(commit: str) -> str:
    """Write the commit's tree as a tar file into DYNOD_SCRATCH; return its path."""
    name = os.urandom(16).hex()
    path = os.path.join(
        os.environ["DYNOD_SCRATCH"], f"{name[:8]}-{name[8:12]}-{name[12:16]}-{name[16:20]}-{name[20:]}.tar"
    )
    size, limit = 0, int(os.environ.get("DYNOD_CHECKOUT_BYTES", CHECKOUT_BYTES))
    try:
        _neutral_attributes()
        with (
            open(path, "xb", opener=_private) as out,
            subprocess.Popen(["git", "archive", "--format=tar", commit], stdout=subprocess.PIPE) as git,
        ):
            assert git.stdout is not None
            while chunk := git.stdout.read(CHUNK):
                size += len(chunk)
                if size > limit:
                    git.kill()
                    raise Rejected(f"cannot build: the checkout is larger than {human_size(limit)}")
                out.write(chunk)
        if git.returncode:
            raise Rejected(f"cannot build: git archive ended with status {git.returncode}")
    except (OSError, Rejected) as error:
        _discard(path)
        if isinstance(error, OSError):
            raise Rejected(f"cannot keep the source: {disk_fault(error) or error.strerror}") from error
        raise
    _say("Compressing source files... done.")
    return path


def _discard(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _neutral_attributes() -> None:
    """Write the repository's own attributes, which win over the pushed ones (gitattributes(5))."""
    directory = os.path.join(os.environ.get("GIT_DIR", "."), "info")
    path = os.path.join(directory, "attributes")
    if not os.path.exists(path):
        os.makedirs(directory, exist_ok=True)
        with open(f"{path}.{os.getpid()}", "w", encoding="ascii") as file:
            file.write(_ATTRIBUTES)
        os.replace(f"{path}.{os.getpid()}", path)


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, check=False)
    return done.stdout.decode("utf-8", "replace")


def _exists(name: str) -> bool:
    return subprocess.run(["git", "cat-file", "-e", name], capture_output=True, check=False).returncode == 0


def _submodules(commit: str) -> str:
    """Name the directories where another repository's commit is meant (mode 160000, git-ls-tree(1))."""
    entries = _git("ls-tree", "-r", "-z", "--full-tree", commit).split("\0")
    paths = [entry.partition("\t")[2] for entry in entries if entry.startswith("160000 ")]
    shown = ", ".join(path if path.isprintable() else repr(path) for path in paths[:_SHOWN])
    return f"{shown} and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else shown


class Transcript:
    """What the control plane sends, on its way to the pusher. With a release command the line that the deploy is verified comes
    before the command's output and so from there; `verified` says that it came.
    """

    def __init__(self) -> None:
        self.verified = False
        self._tail = b""

    def write(self, data: bytes) -> None:
        self._tail += data
        self.verified = self.verified or _VERIFIED in self._tail
        self._tail = self._tail[-len(_VERIFIED) :]
        _write(data)


def _build(params: dict[str, Any], app: str) -> tuple[str, Transcript]:
    """Call `builds.push`, print its items as they come, return its status; raise Rejected."""
    transcript = Transcript()
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as control:
            control.connect(os.environ["DYNOD_CONTROL"])
            control.sendall(encode(Request(_CALL, "builds.push", params)))
            for frame in _frames(control):
                match frame:
                    case Notification("item", [int(), bytes(data)]):
                        transcript.write(data)
                    case Response(_, None, {"status": str(status)}):
                        return status, transcript
                    case Response(_, (_, message), _):
                        raise Rejected(message)
                    case _:
                        pass
    except (OSError, BadFrame) as error:
        raise Rejected(_away(app)) from error
    raise Rejected(_away(app))


def _away(app: str) -> str:
    return f"cannot build {app}: the control plane does not answer; try again shortly"


def _frames(control: socket.socket) -> Iterator[Frame]:
    decoder = Decoder()
    while data := control.recv(CHUNK):
        yield from decoder.feed(data)


def _say(text: str) -> None:
    _write(text.encode() + b"\n")


def _write(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
