"""`dyno metrics`."""

import json

_LATENCY = {"max": 40, "mean": 7.7, "p50": 7, "p95": 7, "p99": 40}
_NONE = dict.fromkeys(_LATENCY)
_PART = {
    "bytes_in": 10,
    "bytes_out": 2000,
    "codes": {"H12": 2},
    "connect_ms": _NONE,
    "requests": 100,
    "service_ms": _LATENCY,
    "statuses": {"1xx": 0, "2xx": 98, "3xx": 0, "4xx": 0, "5xx": 2},
}
SAID = {
    "app": {"id": "a-1", "name": "demo"},
    "in_flight": 3,
    "recent": {**_PART, "codes": {}, "requests": 4, "seconds": 330},
    "since": "2026-11-20T18:00:00Z",
    "total": _PART,
}


def test_metrics_shows_the_last_minutes_beside_all(control, type_in):
    control.answers["metrics.router"] = SAID
    status, out, err = type_in("metrics -a demo")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "=== ⬢ demo Requests"
    assert "In flight: 3" in lines
    assert [cell for cell in lines if cell.split()[:2] == ["last", "5m"]]
    assert [line.split() for line in lines if line.startswith("requests")] == [["requests", "4", "100"]]
    assert [line.split() for line in lines if line.startswith("H12")] == [["H12", "0", "2"]]
    assert [line.split() for line in lines if line.startswith("service p99")] == [
        ["service", "p99", "40", "ms", "40", "ms"]
    ]
    assert [line.split() for line in lines if line.startswith("bytes out")] == [
        ["bytes", "out", "2", "KB", "2", "KB"]
    ]


def test_metrics_as_json(control, type_in):
    control.answers["metrics.router"] = SAID
    _, out, _ = type_in("metrics -a demo --json")
    assert json.loads(out) == SAID
