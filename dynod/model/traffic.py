"""What requests came to, as numbers that add up: a worker counts what came since it last told, the control plane adds it to the rest.

Latencies are whole milliseconds (the router's clock has no finer ones) in log-linear buckets, as HdrHistogram has them: exact below 32,
then 16 to each doubling, so that what is read back is at most 6.3 % too high. A histogram keeps only buckets that were hit, and never
more than `MOST_BUCKETS`; two of them are merged by adding. Rejected: a list of all buckets, which is 3 KB for an app with one request.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

_Key = TypeVar("_Key", int, str)
_EXACT = 32
_BITS = 5  # of a value that are kept
LONGEST = 2**27 - 1  # milliseconds, a day and a half: what took longer took this long


def bucket(ms: int) -> int:
    """Return which bucket a time belongs to."""
    if ms < _EXACT:
        return max(ms, 0)
    ms = min(ms, LONGEST)
    shift = ms.bit_length() - _BITS
    return (shift << (_BITS - 1)) + (ms >> shift)


MOST_BUCKETS = bucket(LONGEST) + 1


def highest(index: int) -> int:
    """Return the longest time that belongs to a bucket."""
    if index < _EXACT:
        return index
    shift = (index >> (_BITS - 1)) - 1
    return ((index - (shift << (_BITS - 1)) + 1) << shift) - 1


@dataclass(slots=True)
class Latency:
    """`counts`: how many by bucket; `total` and `most` in milliseconds."""

    counts: dict[int, int] = field(default_factory=dict)
    total: int = 0
    most: int = 0

    def note(self, ms: int, times: int) -> None:
        """Count so many that took so long."""
        index = bucket(ms)
        self.counts[index] = self.counts.get(index, 0) + times
        self.total += ms * times
        self.most = max(self.most, ms)

    def add(self, other: "Latency") -> None:
        """Merge another one into this."""
        for index, times in other.counts.items():
            self.counts[index] = self.counts.get(index, 0) + times
        self.total += other.total
        self.most = max(self.most, other.most)

    @property
    def count(self) -> int:
        return sum(self.counts.values())

    def quantile(self, part: float) -> int | None:
        """Return the time that this part of all did not exceed (nearest rank); None if there were none."""
        rank = part * self.count
        seen = 0
        for index in sorted(self.counts):
            seen += self.counts[index]
            if seen >= rank:
                return min(highest(index), self.most)
        return None

    def within(self, ms: int) -> int:
        """Return how many took no longer than this, as far as the buckets tell."""
        return sum(times for index, times in self.counts.items() if highest(index) <= ms)


@dataclass(slots=True)
class Traffic:
    """Of one app. `statuses` and `codes` (H12...) say how many; bytes in are those of bodies, bytes out those of access lines.

    `service` and `connect` are the access line's; a WebSocket's life is no latency and is left out of both.
    """

    statuses: dict[int, int] = field(default_factory=dict)
    codes: dict[str, int] = field(default_factory=dict)
    bytes_in: int = 0
    bytes_out: int = 0
    service: Latency = field(default_factory=Latency)
    connect: Latency = field(default_factory=Latency)

    def add(self, other: "Traffic") -> None:
        """Merge another one into this."""
        _add(self.statuses, other.statuses)
        _add(self.codes, other.codes)
        self.bytes_in += other.bytes_in
        self.bytes_out += other.bytes_out
        self.service.add(other.service)
        self.connect.add(other.connect)

    @property
    def requests(self) -> int:
        return sum(self.statuses.values())

    def by_class(self) -> Mapping[str, int]:
        """Return how many were answered with 1xx, 2xx and so on, each of the five named."""
        classes = dict.fromkeys(("1xx", "2xx", "3xx", "4xx", "5xx"), 0)
        for status, times in self.statuses.items():
            name = f"{status // 100}xx"
            classes[name] = classes.get(name, 0) + times
        return classes


def _add(counts: dict[_Key, int], more: Mapping[_Key, int]) -> None:
    for key, times in more.items():
        counts[key] = counts.get(key, 0) + times


@dataclass(frozen=True, slots=True)
class AppTraffic:
    """What is known of an app: all since `since` (seconds since the epoch), and of the last `span` seconds."""

    since: float
    total: Traffic
    span: float
    recent: Traffic
    in_flight: int
