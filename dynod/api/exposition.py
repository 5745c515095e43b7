"""What is counted, as Prometheus reads it: GET /metrics on a loopback port of its own, without a token, if the settings name one.

Counters begin anew with the control plane, which Prometheus knows to tell from a count that went backwards. Apps that had no request
have no line. Made in a thread: a machine with thousands of apps has megabytes of it.
"""

import asyncio
from collections.abc import Iterator

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from dynod.engine.platform import Platform, Readings
from dynod.model.settings import Endpoint
from dynod.model.traffic import Latency

BOUNDS = (1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000)  # milliseconds
BOOT = "boot"  # among what happened; the rest are the states in which dynos ended


class _Collector:
    def __init__(self, readings: Readings) -> None:
        self._readings = readings

    def collect(self) -> Iterator[Metric]:
        """Yield every family."""
        yield from _requests(self._readings)
        yield from _platform(self._readings)


def _requests(readings: Readings) -> Iterator[Metric]:
    requests = CounterMetricFamily(
        "dynod_router_requests", "Requests answered, by class of status.", labels=["app", "status"]
    )
    codes = CounterMetricFamily(
        "dynod_router_errors", "Requests that ended with a code (H12...).", labels=["app", "code"]
    )
    size = CounterMetricFamily(
        "dynod_router_bytes", "Bodies that came in, responses that went out.", labels=["app", "way"]
    )
    service = HistogramMetricFamily(
        "dynod_router_service_seconds", "From the dyno's connection to the response's end.", labels=["app"]
    )
    connect = HistogramMetricFamily(
        "dynod_router_connect_seconds", "From the request to the dyno's connection.", labels=["app"]
    )
    for app, traffic in readings.traffic.items():
        for name, count in traffic.by_class().items():
            requests.add_metric([app, name], count)
        for code, count in traffic.codes.items():
            codes.add_metric([app, code], count)
        size.add_metric([app, "in"], traffic.bytes_in)
        size.add_metric([app, "out"], traffic.bytes_out)
        for family, latency in ((service, traffic.service), (connect, traffic.connect)):
            family.add_metric([app], _buckets(latency), latency.total / 1000)
    in_flight = GaugeMetricFamily("dynod_router_in_flight", "Requests under way.", labels=["app"])
    for app, count in readings.in_flight.items():
        in_flight.add_metric([app], count)
    yield from (requests, codes, size, service, connect, in_flight)


def _buckets(latency: Latency) -> list[tuple[str, float]]:
    found: list[tuple[str, float]] = [(f"{ms / 1000:g}", latency.within(ms)) for ms in BOUNDS]
    return [*found, ("+Inf", latency.count)]


def _platform(readings: Readings) -> Iterator[Metric]:
    dynos = GaugeMetricFamily("dynod_dynos", "Dynos, by state.", labels=["state"])
    for state, count in readings.dynos.items():
        dynos.add_metric([state], count)
    ends = CounterMetricFamily(
        "dynod_dyno_ends", "Dynos that ended, by the state they had.", labels=["state"]
    )
    for state, count in readings.happened.items():
        if state != BOOT:
            ends.add_metric([state], count)
    yield from (
        dynos,
        ends,
        CounterMetricFamily("dynod_dyno_boots", "Dynos started.", readings.happened.get(BOOT, 0)),
        CounterMetricFamily("dynod_log_lines", "Lines that logplex took.", readings.lines),
        CounterMetricFamily(
            "dynod_log_lines_dropped",
            "Lines of the platform's own that were dropped.",
            readings.lines_dropped,
        ),
        CounterMetricFamily("dynod_router_lines", "Access lines made.", readings.router_lines),
        CounterMetricFamily(
            "dynod_router_lines_dropped", "Access lines that were dropped.", readings.router_lines_dropped
        ),
        GaugeMetricFamily("dynod_router_workers", "Workers of the router.", readings.workers),
    )


def text(readings: Readings) -> bytes:
    """Write all of it."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(readings))
    return generate_latest(registry)


async def serve_metrics(platform: Platform, where: Endpoint) -> web.AppRunner:
    """Listen; the caller cleans the runner up."""

    async def answer(_: web.Request) -> web.Response:
        body = await asyncio.to_thread(text, await platform.readings())
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.router.add_get("/metrics", answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, where.host, where.port).start()
    return runner
