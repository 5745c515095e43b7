"""A Plex with the pipes of dynos, real ones, and the directory that it keeps lines in."""

import asyncio
import os

from waiting import run, until

from dynod.logplex.plex import Plex
from dynod.logplex.query import Ask
from dynod.model.log import LogQuery

APP = "app-1"


LABELS = {"app": APP, "name": "web.1", "type": "web", "release": "v3"}


class Heard(Plex):
    """`over` tells of each pipe that was read to its end."""

    def __init__(self, directory, **options):
        super().__init__(directory, **options)
        self.over = asyncio.Event()

    def ended(self, intake):
        super().ended(intake)
        self.over.set()


class House:
    """A state directory, the dynos' pipes as a dyno host keeps them, and the Plex of the moment."""

    def __init__(self, tmp_path, **options):
        self.directory = f"{tmp_path}/logs"
        self.options = options
        self.dynos = {}
        self.plex = Heard(self.directory, **options)

    def dyno(self, id="dyno-1", labels=LABELS):
        """Make a dyno's pipe; return the end it writes to."""
        read, write = os.pipe()
        self.dynos[id] = (read, labels)
        self.plex.piped(id, labels, os.dup(read))
        return write

    def restart(self):
        self.plex.close()
        self.plex = Heard(self.directory, **self.options)

    def host_again(self):
        for id, (read, labels) in self.dynos.items():
            self.plex.piped(id, labels, os.dup(read))
        self.plex.listed(frozenset(self.dynos))

    def forget_dyno(self, id="dyno-1"):
        os.close(self.dynos.pop(id)[0])
        self.plex.gone(id)

    def history(self, app=APP, **query):
        query = LogQuery(app, **{"lines": 10**6, **query})
        return [(record.process, record.text) for _, record in self.plex.ask(Ask(query))]

    def texts(self, **query):
        return [text for _, text in self.history(**query)]

    def spools(self):
        return [f"{self.directory}/.spool/{name}" for name in os.listdir(f"{self.directory}/.spool")]

    async def until_texts(self, count, **query):
        await until(
            lambda: len(self.texts(**query)) >= count,
            watch=[f"{self.directory}/.", self.ring(query.get("app", APP))],
            what="no lines",
        )

    async def until_read(self):
        """Wait until every pipe was read to its end, of which no file need tell."""
        while self.plex.stat()["reading"]:
            self.plex.over.clear()
            await self.plex.over.wait()

    def ring(self, app=APP):
        os.makedirs(f"{self.directory}/{app}", exist_ok=True)
        return f"{self.directory}/{app}"

    def close(self):
        self.plex.close()
        for read, _ in self.dynos.values():
            os.close(read)


def housed(story, cap=60):
    """Turn `async def story(house, ...)` into a test that gets a House and closes it."""

    def test(tmp_path):
        async def told():
            house = House(tmp_path)
            try:
                await story(house)
            finally:
                house.close()

        run(told(), cap)

    test.__doc__ = story.__doc__
    return test
