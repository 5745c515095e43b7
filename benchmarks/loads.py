"""Loads and what they cost: each load is run at one contender after the other, round by round, and CPU time charged to them is read.

CPU is what the kernel charged to the proxy's processes (/proc/PID/schedstat). A ratio is the median of the rounds' own ratios, so that
what disturbs one round disturbs both sides of it. `least` is the round with the fewest disturbances.
"""

import math
import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence

from benchmarks.peers import HOST, OTHER_CORE, PARTS, Contender

SECONDS = 1
ROUNDS = int(os.environ.get("ROUNDS", "5"))
Load = Callable[[Contender, int], int]  # at a contender, for so many seconds: how many requests were answered


class Failed(Exception):
    """Requests went wrong: there is no figure then."""


def pinned(argv: list[str], cores: int | str = OTHER_CORE) -> str:
    done = subprocess.run(["taskset", "-c", str(cores), *argv], check=False, capture_output=True, text=True)
    if done.returncode:
        raise Failed(done.stdout + done.stderr)
    return done.stdout


def wrk(
    connections: int,
    how: Sequence[str] = (),
    path: str = "hello",
    *,
    tls: bool = False,
    cores: int | str = OTHER_CORE,
) -> Load:
    def load(contender: Contender, seconds: int) -> int:
        where = f"https://{HOST}:{contender.tls}" if tls else f"http://{HOST}:{contender.port}"
        said = pinned(
            ["wrk", "-t1", "--timeout", "30s", f"-c{connections}", f"-d{seconds}s", *how, f"{where}/{path}"],
            cores,
        )
        if "Non-2xx" in said or ("Socket errors" in said and "close" not in " ".join(how)):
            raise Failed(said)
        found = re.search(r"(\d+) requests in", said)
        if found is None or not int(found[1]):
            raise Failed(said)
        return int(found[1])

    return load


def h2load(connections: int, streams: int) -> Load:
    def load(contender: Contender, seconds: int) -> int:
        where = f"https://{HOST}:{contender.tls}/hello"
        said = pinned(["h2load", f"-c{connections}", f"-m{streams}", f"-D{seconds}", where])
        done = re.search(r"(\d+) 2xx, 0 3xx, 0 4xx, 0 5xx", said)
        if done is None or not int(done[1]):
            raise Failed(said)
        return int(done[1])

    return load


def echo(connections: int) -> Load:
    def load(contender: Contender, seconds: int) -> int:
        argv = [sys.executable, "-m", "benchmarks.parts", "echo", PARTS]
        return int(pinned([*argv, str(contender.port), str(connections), str(seconds)]))

    return load


def descendants(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        children = [int(word) for word in file.read().split()]
    return [pid, *(deeper for child in children for deeper in descendants(child))]


def cpu_seconds(root: int) -> float:
    total = 0
    for pid in descendants(root):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/schedstat", encoding="ascii") as file:
                total += int(file.read().split()[0])
    return total / 1e9


def measure(contenders: list[Contender], case: str, load: Load, seconds: int = SECONDS) -> None:
    """Collect the figures of one case and print its table; who cannot do it is left out and said to be."""
    able = [one for one in contenders if _charged(one, case, load, seconds) is not None]  # warms them up
    for _ in range(ROUNDS):
        for contender in list(able):
            charged = _charged(contender, case, load, seconds)
            if charged is None:
                able.remove(contender)
                contender.cpu.pop(case, None)
                continue
            requests, spent = charged
            contender.cpu.setdefault(case, []).append(spent / requests * 1e6)
            contender.rate.setdefault(case, []).append(requests / seconds)
    if able:
        show(able, case)


def _charged(contender: Contender, case: str, load: Load, seconds: int) -> tuple[int, float] | None:
    """Run a load for a round, three times at most: a busy machine may let nothing through."""
    why = ""
    for _ in range(3):
        before = cpu_seconds(contender.pid)
        try:
            return load(contender, seconds), cpu_seconds(contender.pid) - before
        except Failed as error:
            why = str(error).strip()[-300:]
    print(f"cannot measure {contender.name}: {case}: {why}")
    return None


def show(contenders: list[Contender], case: str) -> None:
    print(f"\n{case}: CPU per request")
    names = [contender.name for contender in contenders[1:]]
    print(f"{'proxy':<10} {'us/request':>11} {'least':>7} {'per second':>11}", *(f"x {n:>7}" for n in names))
    rounds = {contender.name: contender.cpu[case] for contender in contenders}
    for contender in contenders:
        own = rounds[contender.name]
        over = [f"{ratio(own, rounds[name]):9.2f}" for name in names]
        rate = max(contender.rate[case])
        print(f"{contender.name:<10} {statistics.median(own):11.1f} {min(own):7.1f} {rate:11.0f}", *over)
    sys.stdout.flush()


def ratio(own: list[float], other: list[float]) -> float:
    return statistics.median(mine / theirs for mine, theirs in zip(own, other, strict=True))


def summary(contenders: list[Contender]) -> None:
    """Print the router's ratios of all cases on one page."""
    first, *others = contenders
    print(f"\n{'router: CPU per request':<64}", *(f"x {other.name:>7}" for other in others))
    for case, own in first.cpu.items():
        over = [
            f"{ratio(own, other.cpu[case]):9.2f}" if case in other.cpu else f"{'-':>9}" for other in others
        ]
        print(f"{case:<64}", *over)


def latencies(contender: Contender, connections: int, rate: float, seconds: int) -> list[float]:
    """Ask for `rate` requests per second, evenly; return every answer's time in milliseconds, in order of size."""
    with tempfile.NamedTemporaryFile() as file:
        argv = ["h2load", "--h1", f"-c{connections}", f"-D{seconds}", f"--rps={rate / connections:.2f}"]
        pinned([*argv, f"--log-file={file.name}", f"http://{HOST}:{contender.port}/hello"])
        rows = [line.split("\t") for line in file.read().decode().splitlines()]
    if any(row[1] != "200" for row in rows):
        raise Failed("not all were answered with 200")
    return sorted(int(row[2]) / 1000 for row in rows)


def percentile(values: list[float], share: float) -> float:
    return values[min(len(values) - 1, math.ceil(len(values) * share) - 1)]


def show_latencies(contenders: list[Contender], connections: int, rate: float) -> None:
    """Print the times at one rate, as medians of the rounds."""
    print(
        f"\nlatency, small GET, {connections} connections, {rate:.0f} requests per second (half of nginx's most)"
    )
    print(f"{'proxy':<10} {'p50 ms':>8} {'p99 ms':>8} {'x nginx':>8}")
    found: dict[str, list[tuple[float, float]]] = {contender.name: [] for contender in contenders}
    for _ in range(ROUNDS):
        for contender in contenders:
            times = latencies(contender, connections, rate, 2)
            found[contender.name].append((percentile(times, 0.5), percentile(times, 0.99)))
    for contender in contenders:
        mine, theirs = found[contender.name], found["nginx"]
        p50, p99 = (statistics.median(row[which] for row in mine) for which in (0, 1))
        over = ratio([row[1] for row in mine], [row[1] for row in theirs])
        print(f"{contender.name:<10} {p50:8.2f} {p99:8.2f} {over:8.2f}")
    sys.stdout.flush()
