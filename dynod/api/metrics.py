"""What came of an app's requests, as JSON. Ours: Heroku shows it on its dashboard only."""

from typing import Any

from dynod.api import shapes
from dynod.api.operation import Ask
from dynod.model.traffic import Latency, Traffic


def _latency(latency: Latency) -> dict[str, Any]:
    count = latency.count
    return {
        "max": latency.most if count else None,
        "mean": round(latency.total / count, 1) if count else None,
        "p50": latency.quantile(0.5),
        "p95": latency.quantile(0.95),
        "p99": latency.quantile(0.99),
    }


def _traffic(traffic: Traffic) -> dict[str, Any]:
    return {
        "bytes_in": traffic.bytes_in,
        "bytes_out": traffic.bytes_out,
        "codes": dict(sorted(traffic.codes.items())),
        "connect_ms": _latency(traffic.connect),
        "requests": traffic.requests,
        "service_ms": _latency(traffic.service),
        "statuses": dict(traffic.by_class()),
    }


async def router(ask: Ask) -> Any:
    """All since the control plane began to count, and the last minutes."""
    known = await ask.platform.traffic(ask.app)
    return {
        "app": {"id": ask.app.id, "name": ask.app.name},
        "in_flight": known.in_flight,
        "recent": {**_traffic(known.recent), "seconds": int(known.span)},
        "since": shapes.stamp(known.since),
        "total": _traffic(known.total),
    }
