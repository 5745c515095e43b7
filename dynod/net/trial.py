"""What wires take, tried before anybody needs them: `python -m dynod.net.trial` prints a JSON object that says of each trial why it
failed, '' where it did not. For `dynod doctor`. All of it happens in a network namespace that ends with this process.
"""

import contextlib
import json
import os
import sys
from collections.abc import Callable

from dynod.net import firewall, messages, namespaces
from dynod.net.addresses import Block
from dynod.net.links import Line

_BLOCK = Block(0)
_RESOLVER = "192.0.2.1"  # RFC 5737: nobody's


def veth(namespace: int) -> None:
    """Lay a cable; raise OSError."""
    slot = _BLOCK.slot(0)
    with contextlib.closing(Line()) as line:
        line.tell(
            "lay a cable",
            messages.cable("trial0", slot.gateway_mac, _BLOCK.group, 1500, "trial1", slot.mac, namespace),
        )


def table() -> None:
    """Load the table that dynos live behind, and switch forwarding on; raise OSError."""
    firewall.load(_BLOCK, [_RESOLVER], [], ipv6=os.path.isdir("/proc/sys/net/ipv6"))


def _why(trial: Callable[[], None]) -> str:
    try:
        trial()
    except OSError as error:
        return (error.strerror or str(error)).partition("\n")[0]
    return ""


def main() -> None:
    """Be the process that tries."""
    try:
        with namespaces.fresh() as inside:
            told = {"veth": _why(lambda: veth(inside)), "nftables": _why(table)}
    except OSError as error:
        told = dict.fromkeys(("veth", "nftables"), error.strerror or str(error))
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main()
