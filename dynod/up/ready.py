"""RUN/ready.json: what tools and tests need to know of a running platform (ARCHITECTURE.md, "Sockets and files under RUN")."""

import contextlib
import json
import os
from collections.abc import Mapping
from typing import Any

from dynod.model.settings import control_socket


def ready(
    run: str, pids: Mapping[str, int], served: Mapping[str, Any], routed: Mapping[str, Any]
) -> dict[str, Any]:
    """Join what `dynod serve` (RUN/serve.json) and the router (RUN/router.json) wrote with the pids of the components."""
    return {
        "api": served["api"],
        "router": f"http://{routed['listen']}",
        "router_tls": f"https://{routed['tls']}" if routed.get("tls") else None,
        "ca": served["ca"],
        "token": served["token"],
        "control": control_socket(run),
        "pids": {
            "up": os.getpid(),
            "control": pids["serve"],
            "host": pids["host"],
            "net": pids["net"],
            "logplex": pids["logplex"],
            "router": list(routed["pids"]),
        },
    }


def read(path: str) -> dict[str, Any] | None:
    """Return the object in a JSON file; None where there is none (yet)."""
    with contextlib.suppress(FileNotFoundError, ValueError), open(path, encoding="utf-8") as file:
        value = json.load(file)
        return value if isinstance(value, dict) else None
    return None


def write(path: str, value: Mapping[str, Any]) -> None:
    """Put a JSON file in place as a whole, readable by its owner alone (it holds a token)."""
    part = f"{path}.part"
    with open(
        os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "w", encoding="utf-8"
    ) as file:
        json.dump(value, file, indent=2)
        file.write("\n")
    os.rename(part, path)
