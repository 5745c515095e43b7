"""Counts of requests as rows: what a router worker tells over RUN/routes.sock since it last did."""

from typing import Any

from dynod.model.traffic import MOST_BUCKETS, Latency, Traffic


class BadTraffic(Exception):
    """These rows are no counts of requests."""


def row(app: str, traffic: Traffic) -> list[Any]:
    """Write one app's; `read` reads it back equal."""
    return [
        app,
        traffic.statuses,
        traffic.codes,
        [traffic.bytes_in, traffic.bytes_out],
        _latency(traffic.service),
        _latency(traffic.connect),
    ]


def _latency(latency: Latency) -> list[Any]:
    return [latency.counts, latency.total, latency.most]


def read(row: Any) -> tuple[str, Traffic]:
    """Read one app's; raise BadTraffic. Whoever sends it may send anything: no status, bucket or code beyond what there is."""
    match row:
        case [str(app), dict(statuses), dict(codes), [int(came), int(went)], service, connect]:
            if not all(isinstance(key, int) and 0 <= key < 1000 for key in statuses):
                raise BadTraffic("not counts of requests: a status that is none")
            if not all(isinstance(key, str) and len(key) <= 4 for key in codes):
                raise BadTraffic("not counts of requests: a code that is none")
            _check(came, went, *statuses.values(), *codes.values())
            return app, Traffic(statuses, codes, came, went, _read(service), _read(connect))
    raise BadTraffic(f"not counts of requests: {str(row)[:80]}")


def _read(latency: Any) -> Latency:
    match latency:
        case [dict(counts), int(total), int(most)]:
            if not all(isinstance(key, int) and 0 <= key < MOST_BUCKETS for key in counts):
                raise BadTraffic("not counts of requests: a bucket that is none")
            _check(total, most, *counts.values())
            return Latency(counts, total, most)
    raise BadTraffic(f"not a latency: {str(latency)[:80]}")


def _check(*numbers: Any) -> None:
    if not all(isinstance(number, int) and number >= 0 for number in numbers):
        raise BadTraffic("not counts of requests: a number that is none")
