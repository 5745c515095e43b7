"""What a worker counts of requests, and how it tells."""

from dataclasses import replace

from dynod.model.route import AppRoute, Backend, RouteTable, Standing
from dynod.model.traffic import Traffic
from dynod.wire.rpc import Notification, encode
from dynod.wire.traffic import read
from tests.router.routing import (
    GET,
    QUICK,
    FakeControl,
    FakeDyno,
    canned,
    run,
    running,
    serving,
    table,
    turns,
)

POST = b"POST / HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: 7\r\n\r\nseven b"
UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: app.localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


class Counting(FakeControl):
    """The control plane's end, which asks and adds up."""

    def __init__(self, run_dir):
        super().__init__(run_dir)
        self.apps: dict[str, Traffic] = {}
        self.messages = 0

    def tell(self, method, *params):
        for writer in self._writers:
            writer.write(encode(Notification(method, list(params))))

    async def told(self):
        """The rest of the next telling, once all of it is there."""
        while True:
            frame = await self.wakes.get()
            if frame.method != "traffic":
                continue
            self.messages += 1
            for one in frame.params["apps"]:
                app, traffic = read(one)
                self.apps.setdefault(app, Traffic()).add(traffic)
            if "rest" in frame.params:
                return frame.params["rest"]

    async def ask(self, number=1):
        self.tell("measure", number)
        while True:
            in_flight, lines, dropped, answers = await self.told()
            if number in answers:
                return in_flight, lines, dropped


async def counting(house) -> Counting:
    control = Counting(house.run)
    await control.open()
    await control.opened.wait()
    return control


def apps_table(backend: Backend, count: int) -> RouteTable:
    """So many apps at one dyno."""
    routes = {
        f"id{n}": AppRoute(f"id{n}", f"app{n}", Standing.SERVING, (replace(backend, id=f"b{n}"),))
        for n in range(count)
    }
    return RouteTable(1, routes, {f"app{n}.localhost": f"id{n}" for n in range(count)})


def test_what_requests_came_to_is_told_when_asked_for():
    async def test():
        async with serving() as (house, _):
            control = await counting(house)
            for _ in range(3):
                assert (await house.ask()).status == 200
            assert (await house.ask(POST)).status == 200
            in_flight, lines, dropped = await control.ask()
            traffic = control.apps["app-id"]
            assert (in_flight, lines, dropped) == ({}, 4, 0)
            assert traffic.statuses == {200: 4}
            assert traffic.codes == {}
            assert traffic.bytes_in == 7
            text = [row[4] for row in await house.logplex.wait(4)]
            assert traffic.bytes_out == sum(
                int(word[6:]) for line in text for word in line.split() if word.startswith("bytes=")
            )
            assert (traffic.service.count, traffic.connect.count) == (4, 4)
            assert (await control.ask(2))[1] == 0
            assert control.apps["app-id"].requests == 4  # each is told of once

    run(test)


def test_what_the_router_answers_itself_is_counted_by_code_and_has_no_service_time():
    async def test():
        async with running(table(standing=Standing.CRASHED)) as house:
            control = await counting(house)
            assert (await house.ask()).status == 503
            assert (await house.ask(GET.replace(b"app.", b"no."))).status == 404  # of no app
            await control.ask()
            assert list(control.apps) == ["app-id"]
            traffic = control.apps["app-id"]
            assert (traffic.statuses, traffic.codes) == ({503: 1}, {"H10": 1})
            assert (traffic.service.count, traffic.connect.count, traffic.bytes_out) == (0, 0, 0)

    run(test)


def test_a_dyno_that_refuses_counts_as_a_connection_that_was_tried():
    async def test():
        dyno = FakeDyno()
        backend = await dyno.open()
        await dyno.close()
        async with running(table(backend)) as house:
            control = await counting(house)
            assert (await house.ask()).status == 503
            await control.ask()
            traffic = control.apps["app-id"]
            assert traffic.codes == {"H21": 1}
            assert (traffic.service.count, traffic.connect.count) == (0, 1)

    run(test)


def test_requests_under_way_are_told_of_as_in_flight_those_that_are_held_too():
    async def test():
        async with running(table(standing=Standing.BOOTING)) as house, await house.connect() as held:
            control = await counting(house)
            held.writer.write(GET)
            await turns(house.worker.proxy.under_way)
            assert (await control.ask())[0] == {"app-id": 1}
            held.writer.transport.abort()
            await turns(lambda: not house.worker.proxy.under_way())
            assert (await control.ask(2))[0] == {}
            assert control.apps["app-id"].codes == {"H27": 1}

    run(test)


def test_a_websocket_counts_once_it_is_over_with_its_bytes_and_without_a_latency():
    async def test():
        async def answer(head, reader, writer):
            writer.write(SWITCHED)
            writer.write((await reader.readexactly(4)).upper())
            return False

        async with serving(answer) as (house, _), await house.connect() as client:
            control = await counting(house)
            client.writer.write(UPGRADE)
            assert (await client.head()).status == 101
            assert (await control.ask())[0] == {"app-id": 1}
            client.writer.write(b"ping")
            assert await client.closed() == b"PING"
            await house.logplex.wait(1)
            await control.ask(2)
            traffic = control.apps["app-id"]
            assert (traffic.statuses, traffic.bytes_in) == ({101: 1}, 4)
            assert traffic.bytes_out > 4
            assert (traffic.service.count, traffic.connect.count) == (0, 0)

    run(test)


def test_a_chunked_body_counts_as_well():
    async def test():
        async def answer(head, reader, writer):
            await reader.readuntil(b"0\r\n\r\n")
            writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
            return True

        async with serving(answer) as (house, _):
            control = await counting(house)
            head = b"POST / HTTP/1.1\r\nHost: app.localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
            assert (await house.ask(head + b"5\r\nhello\r\n0\r\n\r\n")).status == 204
            await control.ask()
            assert control.apps["app-id"].bytes_in >= 5

    run(test)


def test_what_nobody_heard_is_told_when_somebody_is_there():
    async def test():
        async with serving(timers=replace(QUICK, counts=0.02)) as (house, _):
            await house.ask()
            await house.logplex.wait(1)
            await turns(lambda: house.worker.metrics.apps)
            control = await counting(house)  # which asks nothing
            assert (await control.told())[1] == 1
            assert control.apps["app-id"].statuses == {200: 1}
            assert not house.worker.metrics.apps

    run(test)


def test_a_worker_on_its_way_out_tells_what_it_counted():
    async def test():
        async with serving() as (house, _):
            control = await counting(house)
            await house.ask()
            await house.worker.close()
            assert (await control.told())[1] == 1
            assert control.apps["app-id"].requests == 1

    run(test)


def test_many_apps_are_told_a_few_at_a_time(monkeypatch):
    monkeypatch.setattr("router.metrics.AT_ONCE", 2)

    async def test():
        dyno = FakeDyno(canned(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
        async with running(apps_table(await dyno.open(), 5)) as house:
            control = await counting(house)
            for n in range(5):
                assert (await house.ask(GET.replace(b"app.", b"app%d." % n))).status == 200
            await control.ask()
            assert control.messages == 3
            assert {app: one.requests for app, one in control.apps.items()} == {f"id{n}": 1 for n in range(5)}
        await dyno.close()

    run(test)


def test_an_app_that_left_the_table_is_forgotten():
    async def test():
        async with serving() as (house, dyno):
            await house.ask()
            await house.logplex.wait(1)
            assert list(house.worker.metrics.apps) == ["app-id"]
            control = Counting(house.run)
            control.publish(apps_table(dyno.backend, 1))
            house.worker._swap(apps_table(dyno.backend, 1))
            assert not house.worker.metrics.apps

    run(test)


def test_the_timer_runs_only_while_there_is_something_to_tell():
    async def test():
        async with serving(timers=replace(QUICK, counts=0.01)) as (house, _):
            control = await counting(house)
            metrics = house.worker.metrics
            assert metrics._timer is None
            await house.ask()
            await control.told()
            await turns(lambda: metrics._timer is None)

    run(test)
