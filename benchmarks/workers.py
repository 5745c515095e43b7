"""Two workers beside one, the router's and nginx's: CPU per request, in interleaved rounds.

Twice the rate needs a core for each worker and one more for the load; with fewer, the price of a request is what can be told: two workers
that pay for each request what one pays make twice as many of two cores. `alike` has as many connections per worker in both cases, `same`
as many in all, so that a worker of two finds less to do each time it looks.
"""

import contextlib
import tempfile

from benchmarks.loads import ROUNDS, Failed, cpu_seconds, ratio, wrk
from benchmarks.peers import BOTH, NGINX, Around, Contender, check, peer, router

EACH = 32  # connections of one worker


def main() -> None:
    """Print the table."""
    check()
    with tempfile.TemporaryDirectory() as home, contextlib.ExitStack() as stack:
        around = Around(home, stack)
        pairs = []
        # It may run anywhere too: who shares a core with the load pays for that in both cases.
        one = (
            1,
            BOTH[1],
        )
        pairs.append([router(around, stack, where) for where in (one, BOTH)])
        pairs.append([peer("nginx", NGINX, ["nginx", "-c"], around, stack, where) for where in (one, BOTH)])
        print(f"\n{'two workers beside one, small GET':<44} {'x one':>7}   asked 1.8")
        for case, times in (("alike", 2), ("same", 1)):
            for single, double in pairs:
                found = compare(single, double, times)
                print(f"{f'{single.name}, {case} connections':<44} {found:7.2f}", flush=True)


def compare(single: Contender, double: Contender, times: int) -> float:
    """How many requests two workers make of as much CPU as two of the single ones would take."""
    rounds: list[list[float]] = [[], []]
    for turn in range(ROUNDS + 1):
        for own, contender, count in zip(rounds, (single, double), (EACH, EACH * times), strict=True):
            spent = charged(contender, count)
            if turn:  # the first warms them up
                own.append(spent)
    return 2 * ratio(*rounds)


def charged(contender: Contender, connections: int) -> float:
    """Seconds of CPU for each request."""
    load = wrk(connections, cores=BOTH[1])
    for _ in range(3):
        before = cpu_seconds(contender.pid)
        with contextlib.suppress(Failed):  # a busy machine may let nothing through
            requests = load(contender, 1)
            return (cpu_seconds(contender.pid) - before) / requests
    raise SystemExit(f"cannot measure {contender.name}")


if __name__ == "__main__":
    main()
