"""git over HTTPS: `git http-backend` as a CGI child per request, streaming both ways. Smart HTTP only.

Owns the bare repositories STATE/git/<app id>.git and the one pre-receive hook they share; what the hook does is slugc's. Nothing of the
machine's or the repository's own git configuration can name a program: settings come by environment, hooks from our directory alone.
A client that goes away takes its child (and the hook) with it; a build that the hook had started belongs to the platform and goes on.
"""

import asyncio
import contextlib
import logging
import os
import shlex
import shutil
import signal
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator, Sequence
from typing import Any

from aiohttp import web

from dynod.api import auth
from dynod.api.operation import Access, Front, permit
from dynod.host.durable import rename_new, to_disk
from dynod.model.app import Account, App
from dynod.model.refused import Refusal, Refused, disk_fault
from dynod.model.settings import control_socket

CHUNK = 64 * 1024
QUIET = 300.0  # seconds without a byte of the client's pack before its push is given up
GRACE = 5.0  # seconds for git to remove its temporary objects
HOOK = (sys.executable, "-I", "-m", "slugc", "receive")
_RECEIVE = "git-receive-pack"
_SERVICES = ("git-upload-pack", _RECEIVE)
_log = logging.getLogger(__name__)

# Histories that real repositories carry and every git host lets pass; the rest of fsck stands.
_OLD_SINS = (
    "badTimezone",
    "missingSpaceBeforeDate",
    "zeroPaddedFilemode",
    "missingEmail",
    "badEmail",
    "missingNameBeforeEmail",
)


def _config(state: str) -> dict[str, str]:
    """Return git's settings as environment: in force for every repository, however old, and above its own file."""
    pairs = {
        "core.hooksPath": f"{state}/git/hooks",
        "core.fsync": "all",  # git's default leaves small pushes to the page cache, and names what may be lost
        "core.fsyncMethod": "batch",
        "safe.directory": "*",  # it may be another user's of ours, and git calls the one it stands in "."
        "http.receivepack": "true",
        "receive.fsckObjects": "true",
        "receive.denyDeletes": "false",
        "receive.keepAlive": "5",
        "gc.autoDetach": "false",  # a gc in the background would outlive the request that paid for it
        "uploadpack.allowFilter": "true",
        **{f"receive.fsck.{sin}": "ignore" for sin in _OLD_SINS},
    }
    found = {"GIT_CONFIG_COUNT": str(len(pairs))}
    for number, (key, value) in enumerate(pairs.items()):
        found[f"GIT_CONFIG_KEY_{number}"] = key
        found[f"GIT_CONFIG_VALUE_{number}"] = value
    return found


def _bare_env(state: str) -> dict[str, str]:
    return {
        "PATH": os.environ.get("PATH", "/usr/local/bin:/usr/bin:/bin"),
        "HOME": f"{state}/git/hooks",  # nothing of anybody's is read there
        "LANG": "C.UTF-8",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_TERMINAL_PROMPT": "0",
        **_config(state),
    }


def prepare(state: str, hook: Sequence[str]) -> None:
    """Take away the locks that a killed predecessor left; write the hook that all share, which names this interpreter."""
    directory = f"{state}/git/hooks"
    os.makedirs(directory, mode=0o755, exist_ok=True)
    for name in os.listdir(f"{state}/git"):
        if name.endswith(".git"):
            _unlock(f"{state}/git/{name}")
    partial = f"{directory}/.{uuid.uuid4().hex}"
    with open(partial, "x") as file:
        file.write(f"#!/bin/sh\nexec {shlex.join(hook)}\n")
    os.chmod(partial, 0o755)  # noqa: S103  # a program that every push runs
    os.rename(partial, f"{directory}/pre-receive")


def _unlock(repository: str) -> None:
    """Git takes nobody's lock away, and refuses each push to what it names. One is held for a moment: whose git still ran has let go of it."""
    for directory, below, names in os.walk(repository):
        if directory == repository:
            below[:] = ["refs"]
        for name in names:
            if name.endswith(".lock"):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(f"{directory}/{name}")


def repository_path(state: str, app_id: str) -> str:
    return f"{state}/git/{app_id}.git"


async def _git(state: str, *argv: str) -> int:
    child = await asyncio.create_subprocess_exec(
        "git",
        *argv,
        env=_bare_env(state),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
    )
    return await child.wait()


async def make_repository(state: str, app_id: str) -> str:
    """Return the app's bare repository, made now if it never was; it appears whole."""
    path = repository_path(state, app_id)
    if not os.path.isdir(path):
        partial = f"{path}.{uuid.uuid4().hex}"
        if await _git(state, "init", "-q", "--bare", "--template=", "-b", "main", partial) != 0:
            await asyncio.to_thread(shutil.rmtree, partial, ignore_errors=True)
            raise RuntimeError(f"cannot make the repository {path}: git init failed")
        await asyncio.to_thread(to_disk, partial)  # HEAD and config, which core.fsync does not cover
        try:
            await asyncio.to_thread(rename_new, partial, path)
        except OSError:
            await asyncio.to_thread(shutil.rmtree, partial, ignore_errors=True)
            if not os.path.isdir(path):  # else another request was first
                raise
    return path


async def remove_repository(state: str, app_id: str) -> None:
    """Remove the repository of an app that is gone."""
    await asyncio.to_thread(shutil.rmtree, repository_path(state, app_id), ignore_errors=True)


class Git:
    """The two handlers of smart HTTP. `hook` is what pre-receive runs."""

    def __init__(self, front: Front, hook: Sequence[str] = HOOK) -> None:
        self._front = front
        self._state = front.platform.settings.state
        self._pushes: dict[str, asyncio.Lock] = {}
        prepare(self._state, hook)

    def routes(self) -> list[web.RouteDef]:
        path = r"/{app:[^/]+}.git/"
        return [
            web.get(path + "info/refs", self.refs, allow_head=False),
            *(web.post(path + service, self.service) for service in _SERVICES),
            web.route("*", path + "{rest:.*}", _no_such_thing),
        ]

    async def refs(self, request: web.Request) -> web.StreamResponse:
        """Answer what there is, the first request of every fetch and push."""
        service = request.query.get("service", "")
        if service not in _SERVICES:
            return _said(403, "cannot serve the dumb protocol: use a git of this century")
        return await self._serve(request, service)

    async def service(self, request: web.Request) -> web.StreamResponse:
        return await self._serve(request, request.path.rpartition("/")[2])

    async def _serve(self, request: web.Request, service: str) -> web.StreamResponse:
        try:
            account = self._front.platform.account(auth.token(request.headers.get("Authorization")))
            app = self._front.platform.app(request.match_info["app"])
            permit(account, app, Access.DEPLOY)
        except Refused as refused:
            return _refusal(refused)
        try:
            if service == _RECEIVE:
                await asyncio.to_thread(_try_disk, self._front.uploads)
            await make_repository(self._state, app.id)
        except OSError as error:
            if fault := disk_fault(error):
                return _no_push(fault, begun=request.method == "POST")
            raise
        if request.method == "GET" or service != _RECEIVE:
            return await self._backend(request, account, app, {})
        async with self._pushes.setdefault(app.id, asyncio.Lock()):  # one push at a time per app
            return await self._push(request, account, app)

    async def _push(self, request: web.Request, account: Account, app: App) -> web.StreamResponse:
        scratch = f"{self._front.uploads}/push-{uuid.uuid4()}"
        try:
            os.mkdir(scratch, 0o700)
        except OSError as error:
            if fault := disk_fault(error):
                return _no_push(fault, begun=True)
            raise
        try:
            return await self._backend(request, account, app, {"DYNOD_SCRATCH": scratch})
        finally:
            with contextlib.suppress(OSError):
                os.rmdir(scratch)  # a source that a build still reads stays, and is the platform's
            await self._name_head(repository_path(self._state, app.id))

    async def _name_head(self, path: str) -> None:
        """Point HEAD at what was pushed, so that a clone checks something out."""
        heads = f"{path}/refs/heads"
        if os.path.exists(f"{heads}/master") and not os.path.exists(f"{heads}/main"):
            await _git(self._state, "--git-dir", path, "symbolic-ref", "HEAD", "refs/heads/master")

    def _env(self, request: web.Request, account: Account, app: App) -> dict[str, str]:
        protocol = request.headers.get("Git-Protocol", "")
        return {
            **_bare_env(self._state),
            "GIT_PROJECT_ROOT": f"{self._state}/git",
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_PROTOCOL": protocol,
            "GATEWAY_INTERFACE": "CGI/1.1",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REQUEST_METHOD": request.method,
            "PATH_INFO": f"/{app.id}.git/{request.path.partition('.git/')[2]}",
            "QUERY_STRING": request.query_string,
            "CONTENT_TYPE": request.headers.get("Content-Type", ""),
            "REMOTE_USER": account.email,
            "REMOTE_ADDR": request.remote or "",
            "DYNOD_CONTROL": control_socket(self._front.platform.settings.run),
            "DYNOD_APP": app.name,
            "DYNOD_CHECKOUT_BYTES": str(self._front.platform.settings.checkout_bytes),
        }

    async def _backend(
        self, request: web.Request, account: Account, app: App, more: dict[str, str]
    ) -> web.StreamResponse:
        child = await asyncio.create_subprocess_exec(
            "git",
            "http-backend",
            env={**self._env(request, account, app), **more},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
            limit=CHUNK,
        )
        feeding = asyncio.ensure_future(_feed(request, child))
        try:
            return await _answer(request, child, repository_path(self._state, app.id) if more else "")
        finally:
            feeding.cancel()
            await asyncio.gather(feeding, return_exceptions=True)
            await asyncio.shield(_end(child))


async def _feed(request: web.Request, child: asyncio.subprocess.Process) -> None:
    """Pass the body on. aiohttp has unchunked and unzipped it, so the child reads to the end of its input."""
    assert child.stdin is not None
    try:
        async with asyncio.timeout(QUIET) as quiet:
            async for chunk in request.content.iter_chunked(CHUNK):
                quiet.reschedule(None)  # waiting for git is no fault of the client's
                child.stdin.write(chunk)
                await child.stdin.drain()
                quiet.reschedule(asyncio.get_running_loop().time() + QUIET)
        child.stdin.close()
    except TimeoutError:
        _kill(child, signal.SIGTERM)
    except ConnectionError:
        pass  # git has heard enough; its answer says why


async def _answer(request: web.Request, child: asyncio.subprocess.Process, pushed: str) -> web.StreamResponse:
    """Pass git's answer on; it ends, and with it the client's push to the repository `pushed`, once what was done is on the disk."""
    assert child.stdout is not None
    status, headers = await _head(child.stdout)
    response = web.StreamResponse(status=status, headers=headers)
    await response.prepare(request)
    with contextlib.suppress(ConnectionError):  # the client has gone
        async for chunk in _chunks(child.stdout):
            await response.write(chunk)
        if pushed:  # git syncs what a ref says, and not the rename of its lock into its place
            await asyncio.to_thread(to_disk, pushed)
        await response.write_eof()
    return response


async def _head(stdout: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    """Read the CGI's header lines (RFC 3875)."""
    status, headers = 200, {}
    while line := (await stdout.readline()).strip():
        name, _, value = line.decode("latin-1").partition(":")
        if name.lower() == "status":
            status = int(value.split()[0])
        elif name.lower() != "content-length":
            headers[name] = value.strip()
    if not headers:
        raise RuntimeError("cannot serve git: `git http-backend` ended without an answer")
    return status, headers


async def _chunks(stdout: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """Yield what comes as it comes: a build's output must not wait for more of it."""
    while chunk := await stdout.read(CHUNK):
        yield chunk


def _kill(child: asyncio.subprocess.Process, number: int) -> None:
    if child.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, number)


async def _end(child: asyncio.subprocess.Process) -> None:
    """End the child and what it started, if the client went first. Once it is reaped its number may be another's, so nothing is sent then."""
    if child.returncode is None:
        _kill(child, signal.SIGTERM)
        try:
            async with asyncio.timeout(GRACE):
                await child.wait()
        except TimeoutError:
            _log.warning("cannot end git within %.0f seconds: killing it", GRACE)
            _kill(child, signal.SIGKILL)
    await child.wait()


def _said(status: int, text: str, **headers: str) -> web.Response:
    """Answer in plain text, which git prints behind `remote:`."""
    return web.Response(status=status, text=f"{text}\n", headers={"Cache-Control": "no-cache", **headers})


def _refusal(refused: Refused) -> web.Response:
    if refused.refusal is Refusal.UNAUTHORIZED:
        return _said(401, refused.message, **{"WWW-Authenticate": 'Basic realm="dynod"'})
    return _said(refused.refusal.status, refused.message)


def _try_disk(directory: str) -> None:
    """Write a block and see it reach the disk: who cannot do that is not to send a pack first. Raise OSError."""
    with tempfile.TemporaryFile(dir=directory, buffering=0) as file:
        file.write(bytes(4096))
        os.fsync(file.fileno())


def _packet(data: bytes) -> bytes:
    """Frame it (gitprotocol-common(5), pkt-line)."""
    return b"%04x%s" % (4 + len(data), data)


def _no_push(fault: str, *, begun: bool) -> web.Response:
    """Say why no push can be taken. Of the answer to a pack git shows nothing but what it would have said itself (gitprotocol-pack(5))."""
    message = f"cannot take the push: {fault}"
    if not begun:
        return _said(Refusal.UNAVAILABLE.status, message)
    report = _packet(f"unpack {message}\n".encode()) + b"0000"
    body = _packet(b"\2" + f"{message}\n".encode()) + _packet(b"\1" + report) + b"0000"
    return web.Response(body=body, content_type=f"application/x-{_RECEIVE}-result")


async def _no_such_thing(request: web.Request) -> Any:  # noqa: ARG001  # a handler
    return _said(404, "cannot find that: only git's smart HTTP is served here")
