"""The text that Prometheus reads, by its own parser and over its own port."""

import asyncio
import socket

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from dynod.api.exposition import serve_metrics, text
from dynod.engine.platform import Readings
from dynod.model.settings import Endpoint, Settings
from dynod.model.traffic import Latency, Traffic
from tests.api.fake_platform import FakePlatform
from tests.api.served import run


def readings() -> Readings:
    service = Latency()
    service.note(7, 3)
    service.note(400, 1)
    traffic = Traffic({200: 3, 503: 1}, {"H12": 1}, 10, 2000, service, Latency())
    return Readings({"demo": traffic}, {"demo": 2}, {"up": 3}, {"boot": 4, "crashed": 1}, 50, 6, 70, 8, 2)


def samples(body: str) -> dict:
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(body)
        for sample in family.samples
    }


def test_every_count_is_there_under_its_name():
    said = samples(text(readings()).decode())
    assert said["dynod_router_requests_total", "demo", "2xx"] == 3
    assert said["dynod_router_requests_total", "demo", "5xx"] == 1
    assert said["dynod_router_errors_total", "demo", "H12"] == 1
    assert said["dynod_router_bytes_total", "demo", "out"] == 2000
    assert said["dynod_router_in_flight", "demo"] == 2
    buckets = [
        said["dynod_router_service_seconds_bucket", "demo", le] for le in ("0.005", "0.01", "0.5", "+Inf")
    ]
    assert buckets == [0, 3, 4, 4]
    assert said["dynod_router_service_seconds_sum", "demo"] == 0.421
    assert said["dynod_router_service_seconds_count", "demo"] == 4
    assert said["dynod_dynos", "up"] == 3
    assert said["dynod_dyno_boots_total",] == 4
    assert said["dynod_dyno_ends_total", "crashed"] == 1
    assert ("dynod_dyno_ends_total", "boot") not in said
    assert (said["dynod_log_lines_total",], said["dynod_log_lines_dropped_total",]) == (50, 6)
    assert (said["dynod_router_lines_total",], said["dynod_router_lines_dropped_total",]) == (70, 8)
    assert said["dynod_router_workers",] == 2


def test_it_is_served_on_a_port_of_its_own_and_nothing_else_is():
    async def story():
        platform = FakePlatform(Settings())
        runner = await serve_metrics(platform, Endpoint("127.0.0.1", 0))
        ((_, port),) = runner.addresses
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
            async with session.get("/metrics") as answer:
                assert answer.status == 200
                assert answer.content_type == "text/plain"
                assert samples(await answer.text())["dynod_dynos", "up"] == 3
            async with session.get("/account") as answer:
                assert answer.status == 404
        await runner.cleanup()

    asyncio.run(story())


def test_it_is_served_where_the_settings_say_as_long_as_the_api_is():
    async def story(whole):
        ((_, port),) = whole.api._metrics.addresses
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{port}/metrics") as answer,
        ):
            assert samples(await answer.text())["dynod_dynos", "up"] == 3
        return port

    port = run(story, metrics=Endpoint("127.0.0.1", 0))
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0
