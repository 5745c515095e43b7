"""Run the benchmarks one after the other: `python -m benchmarks [boot|fleet|idle|memory|proxy|push|tls|wake|workers ...]`. One that fails does not stop the rest."""

import importlib
import importlib.util
import os
import sys
import traceback

ALL = ("boot", "fleet", "idle", "memory", "proxy", "push", "tls", "wake", "workers")


def machine():
    """Describe where this runs, for docs/benchmarks.md."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        models = {line.partition(":")[2].strip() for line in file if line.startswith("model name")}
    with open("/proc/meminfo", encoding="utf-8") as file:
        memory = int(file.readline().split()[1]) // 1024**2
    cpu = ", ".join(sorted(models)) or os.uname().machine
    return f"{os.cpu_count()} x {cpu}, {memory} GB, Linux {os.uname().release}"


def main(names):
    print(machine())
    failed = []
    for name in names:
        print(f"\n== {name}", flush=True)
        if importlib.util.find_spec(f"benchmarks.{name}") is None:
            print(f"cannot run {name}: benchmarks/{name}.py is missing")
            failed.append(name)
            continue
        try:
            importlib.import_module(f"benchmarks.{name}").main()
        except Exception:  # noqa: BLE001  # the other tables are still worth having
            traceback.print_exc()
            failed.append(name)
    if failed:
        print(f"\nnot measured: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:] or ALL))
