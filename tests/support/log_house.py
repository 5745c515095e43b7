"""A logplex process and a small dyno host for it, for tests that kill either."""

import array
import asyncio
import contextlib
import json
import os
import signal
import socket
import sys

from waiting import until_ended, until_listening


class LogHost:
    """Speaks the part of RUN/host.sock that logplex asks for: `pipes` and `list`. Keeps its own copy of each read end."""

    def __init__(self, path):
        self.path = path
        self.dynos = {}
        self.asked = asyncio.Event()  # somebody asked for pipes since it was cleared
        self._listener = None
        self._clients = set()

    def start(self):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
        self._listener.bind(self.path)
        self._listener.listen(8)
        asyncio.get_running_loop().add_reader(self._listener, self._accept)

    def dyno(self, id, **labels):
        """Make a dyno's pipe and return its write end."""
        read, write = os.pipe()
        self.dynos[id] = (read, labels)
        for client in list(self._clients):
            self._give(client, id)
        return write

    def forget(self, id):
        os.close(self.dynos.pop(id)[0])
        for client in self._clients:
            client.send(json.dumps({"op": "gone", "id": id}).encode())

    def crash(self):
        """Go away as a killed host does: its sockets and its copies of all pipes are closed."""
        loop = asyncio.get_running_loop()
        for connection in (self._listener, *self._clients):
            loop.remove_reader(connection)
            connection.close()
        self._clients.clear()
        for read, _ in self.dynos.values():
            os.close(read)
        self.dynos.clear()

    def _accept(self):
        client, _ = self._listener.accept()
        client.setblocking(True)
        asyncio.get_running_loop().add_reader(client, self._packet, client)

    def _packet(self, client):
        try:
            data = client.recv(65536)
        except ConnectionError:
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(client)
            self._clients.discard(client)
            client.close()
            return
        match json.loads(data):
            case {"op": "pipes"}:
                self._clients.add(client)
                for id in self.dynos:
                    self._give(client, id)
                self.asked.set()
            case {"op": "list", "seq": seq}:
                dynos = [{"id": id, "labels": labels} for id, (_, labels) in self.dynos.items()]
                self._tell(client, {"op": "dynos", "seq": seq, "dynos": dynos[:1]})
                self._tell(client, {"op": "dynos", "seq": seq, "dynos": dynos[1:], "end": True})

    def _give(self, client, id):
        read, labels = self.dynos[id]
        self._tell(client, {"op": "pipe", "id": id, "labels": labels}, read)

    def _tell(self, client, packet, *descriptors):
        ancillary = (
            [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
        )
        with contextlib.suppress(ConnectionError):  # it was killed; the next one asks again
            client.sendmsg([json.dumps(packet).encode()], ancillary)


class LogProcess:
    """`python -m dynod.logplex` as often as it is killed."""

    def __init__(self, run, state, history=1500):
        self.socket = f"{run}/logplex.sock"
        self.errors = f"{state}/stderr"
        self._argv = [
            sys.executable,
            "-m",
            "dynod.logplex",
            "--run",
            run,
            "--state",
            state,
            "--history",
            str(history),
            "--rate",
            "0",  # each line counts here; what a flood costs is test_flood.py's
        ]
        self.process = None

    async def start(self):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.socket)  # so that what listens there is the new one
        with open(self.errors, "ab") as errors:
            self.process = await asyncio.create_subprocess_exec(*self._argv, stderr=errors)

    async def ready(self):
        await until_listening(self.socket)

    async def kill(self):
        self.process.send_signal(signal.SIGKILL)
        await self.process.wait()

    async def stop(self):
        """End it as a supervisor does; return its status and all that any of the processes complained of."""
        self.process.send_signal(signal.SIGTERM)
        await until_ended(self.process.pid)
        status = await self.process.wait()
        with open(self.errors) as file:
            return status, file.read()


@contextlib.asynccontextmanager
async def log_house(directory, history=1500):
    """Start a LogHost and a LogProcess under `directory`; both are gone afterwards, and no traceback was written."""
    run, state = f"{directory}/run", f"{directory}/state"
    os.makedirs(run)
    os.makedirs(state)
    host, logplex = LogHost(f"{run}/host.sock"), LogProcess(run, state, history)
    host.start()
    try:
        await logplex.start()
        await logplex.ready()
        yield host, logplex
        status, errors = await logplex.stop()
        assert status == 0, errors
        assert "Traceback" not in errors, errors
    finally:
        if logplex.process is not None and logplex.process.returncode is None:
            await logplex.kill()
        host.crash()
