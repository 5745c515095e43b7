"""A dyno host with commands that join its dynos, and somebody who watches them end."""

import contextlib
import os

from jailed import TestHost, close_all, read_all

from dynod.jail import packets

ENV = {"PATH": "/usr/bin:/bin", "WORD": "given"}


class Joined:
    """A host with one idle dyno `d1`, and a watcher."""

    def __init__(self, host):
        self.host, self.made = host, 0
        self.watcher = host.connect()
        packets.send(self.watcher, {"op": "watch"})

    def dyno(self, *argv, **change):
        plan = self.host.plan(*(argv or ("sleep", "1000")), **change)
        _, fds = self.host.boot(plan)
        return plan["id"], fds

    def ask(self, id, *argv, **more):
        self.made += 1
        asked = {"argv": list(argv), "env": ENV, "cwd": "/app", "stdio": "pipe", **more}
        return self.host.ask("exec", id=id, **{"session": f"s{os.getpid()}-{self.made}", **asked})

    def exec(self, id, *argv, **more):
        said, fds = self.ask(id, *argv, **more)
        assert said["op"] == "executed", said
        return said, fds

    def sh(self, id, script, **more):
        said, (stdin, stdout) = self.exec(id, "sh", "-c", script, **more)
        os.close(stdin)
        return read_all(stdout), self.status(said["session"])

    def status(self, session):
        while True:
            said, _ = packets.receive(self.watcher)
            if said["op"] == "exec-ended" and said["session"] == session:
                return said["status"]

    def end(self, id, fds):
        self.host.ask("signal", id=id, signal=9)
        self.host.ended(id)
        self.host.forget(id)
        close_all(fds)


@contextlib.contextmanager
def joined_host():
    host = TestHost().start()
    yield Joined(host)
    host.close()
