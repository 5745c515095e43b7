"""The components while they run: start by stages, keep each alive, write ready.json, stop in order."""

import asyncio
import contextlib
import errno
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

from dynod.up import ready
from dynod.up.child import Child, start
from dynod.up.components import API_FD, READY_FD, STOP_ORDER, Component, next_young, restart_delay
from dynod.up.inotify import Watch

START_CAP = 120.0  # seconds until all of a stage must serve
BIND_TO_LISTEN = 0.02  # seconds between a program's bind and its listen, at most
_TAIL = 2000  # bytes of a log shown when a start fails


class CannotStart(Exception):
    """The platform did not come up; the text says which part and where to read why."""


@dataclass(slots=True)
class _Post:
    """A component and its present child."""

    component: Component
    child: Child
    young: int = 0


@dataclass(slots=True)
class Household:
    """`api_fd` is the API's listening socket, `say` prints one line to a person, `verbose` sends logs to stderr."""

    run: str
    api_fd: int
    say: Callable[[str], None]
    verbose: bool
    serving: Callable[[], None] = lambda: None  # called once, when ready.json is there
    _posts: dict[str, _Post] = field(default_factory=dict)
    _up: bool = False

    async def live(self, stages: Sequence[Sequence[Component]], stop: asyncio.Event) -> None:
        """Start all, keep all until `stop`, end all; raise CannotStart."""
        with Watch(self.run, self._changed):
            keepers: list[asyncio.Task[None]] = []
            try:
                for stage in stages:
                    await self._start_stage(stage, stop)
                    if stop.is_set():
                        return
                self._up = True
                self._write_ready()
                self.serving()
                async with asyncio.TaskGroup() as group:
                    keepers = [group.create_task(self._keep(post)) for post in self._posts.values()]
                    await stop.wait()
                    for keeper in keepers:
                        keeper.cancel()
            finally:
                self._up = False
                await self._end()

    def log_path(self, name: str) -> str:
        return f"{self.run}/{name}.log"

    async def _start_stage(self, stage: Iterable[Component], stop: asyncio.Event) -> None:
        started = [self._start(component) for component in stage]
        stopping: asyncio.Future[bool] = asyncio.ensure_future(stop.wait())
        try:
            for post in started:
                done, _ = await asyncio.wait(
                    [post.child.ready, stopping], timeout=START_CAP, return_when=asyncio.FIRST_COMPLETED
                )
                if stop.is_set():
                    return
                if not done or not post.child.ready.result():
                    raise CannotStart(await self._why(post))
        finally:
            stopping.cancel()

    def _start(self, component: Component) -> _Post:
        self._clear(component)
        read, write = (-1, -1) if component.sign else os.pipe2(os.O_CLOEXEC)
        words = {READY_FD: str(write), API_FD: str(self.api_fd)}
        argv = [words.get(word, word) for word in component.argv]
        pass_fds = [fd for fd, wanted in ((write, write >= 0), (self.api_fd, component.keeps_api)) if wanted]
        output = self._prefixed(component.name) if self.verbose else self._log(component.name)
        child = start(argv, pass_fds, output, read)
        for fd in (output, write):
            if fd >= 0:
                os.close(fd)
        post = self._posts.setdefault(component.name, _Post(component, child))
        post.child = child
        self._look(post)
        return post

    def _look(self, post: _Post) -> None:
        """See whether a component's sign is there; a socket between bind and listen is asked again in a moment."""
        sign = f"{self.run}/{post.component.sign}"
        if not post.component.sign or post.child.ready.done():
            return
        if sign.endswith(".json"):
            answers: bool | None = ready.read(sign) is not None
        else:
            answers = _listens(sign)
            if answers is None:
                asyncio.get_running_loop().call_later(BIND_TO_LISTEN, self._look, post)
        if answers:
            post.child.serves(True)

    def _log(self, name: str) -> int:
        return os.open(self.log_path(name), os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def _prefixed(self, name: str) -> int:
        """Make a pipe whose lines appear on stderr behind the component's name; return its write end."""
        read, write = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(read, False)
        rest = bytearray()

        def lines() -> None:
            data = os.read(read, 64 * 1024)
            if not data:
                asyncio.get_running_loop().remove_reader(read)
                os.close(read)
            rest.extend(data)
            *whole, last = bytes(rest).split(b"\n")
            rest[:] = last
            for line in whole:
                sys.stderr.buffer.write(f"{name:>8} | ".encode() + line + b"\n")
            sys.stderr.buffer.flush()

        asyncio.get_running_loop().add_reader(read, lines)
        return write

    async def _why(self, post: _Post) -> str:
        name = post.component.name
        # Its end is often a moment behind the closed pipe.
        await asyncio.wait([post.child.ended], timeout=1.0)
        how = (
            f"ended with status {post.child.ended.result()}"
            if post.child.ended.done()
            else "did not get ready"
        )
        if self.verbose:
            return f"cannot start {name}: it {how}; its lines are above"
        with open(self.log_path(name), "rb") as log:
            log.seek(max(0, os.fstat(log.fileno()).st_size - _TAIL))
            tail = log.read().decode(errors="replace").rstrip()
        return f"cannot start {name}: it {how}; from {self.log_path(name)}:\n{tail or '(it said nothing)'}"

    async def _keep(self, post: _Post) -> None:
        name = post.component.name
        while True:
            status = await asyncio.shield(post.child.ended)
            if post.component.workers:
                post.child.signal_group(signal.SIGTERM)  # they finish what they serve
            post.young = next_young(post.young, asyncio.get_running_loop().time() - post.child.started)
            delay = restart_delay(post.young)
            after = f" in {delay:g} s" if delay else ""
            self.say(f"{name} ended with status {status}, starting it again{after}{self._where(name)}")
            await asyncio.sleep(delay)
            self._start(post.component)
            if await asyncio.shield(post.child.ready):
                self._write_ready()

    def _where(self, name: str) -> str:
        return "" if self.verbose else f" (see {self.log_path(name)})"

    def _changed(self, name: str) -> None:
        for post in self._posts.values():
            if post.component.sign == name:
                self._look(post)
        if self._up and name in ("router.json", "serve.json"):
            self._write_ready()

    def _write_ready(self) -> None:
        served, routed = ready.read(f"{self.run}/serve.json"), ready.read(f"{self.run}/router.json")
        if served is None or routed is None:
            return  # one of them is starting again; its file's arrival calls here
        pids = {name: post.child.pid for name, post in self._posts.items()}
        ready.write(f"{self.run}/ready.json", ready.ready(self.run, pids, served, routed))

    def _clear(self, component: Component) -> None:
        for name in component.files:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{self.run}/{name}")

    async def _end(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{self.run}/ready.json")
        for name in STOP_ORDER:
            if (post := self._posts.get(name)) is None:
                continue
            if not await post.child.stop(post.component.grace):
                self.say(f"{name} did not end within {post.component.grace:g} s of SIGTERM and was killed")
            self._clear(post.component)

    def hurry(self) -> None:
        """End everything at once: a second Ctrl-C."""
        for post in self._posts.values():
            post.child.signal(signal.SIGKILL)


def _listens(path: str) -> bool | None:
    """Say whether a unix socket answers; None when it is there but refuses."""
    for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET):
        with socket.socket(socket.AF_UNIX, kind) as probe:
            try:
                probe.connect(path)
                return True
            except FileNotFoundError:
                return False
            except OSError as error:
                if error.errno != errno.EPROTOTYPE:
                    return None
    return None


def on_signals(stop: asyncio.Event, hurry: Callable[[], None]) -> None:
    """SIGTERM or SIGINT sets `stop`; another one calls `hurry`."""

    def ask(number: int) -> None:
        if stop.is_set() and number == signal.SIGINT:
            hurry()
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, partial(ask, number))
