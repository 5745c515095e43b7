"""Changes on and on, inside the machine: a line on stdout for each that was acknowledged, until the machine or the platform ends.

`python changes.py APP SEED`, by the platform's own Python. The n-th change sets config var COUNT to n; now and then the formation of
`worker` is changed or a release is rolled back too. What the lines say is what a client was told: it must be there after a power cut.
"""

import random
import sys
from typing import Any

from dynod.cli.client import Client


def main(app: str, seed: str) -> None:
    """Change until something ends."""
    chance = random.Random(seed)
    client = Client("/run/dynod/control.sock")
    count = int(client.call("config.info", {"app": app}).get("COUNT", "0"))

    def tell(what: str, value: Any) -> None:
        sys.stdout.write(f"{what} {value}\n")
        sys.stdout.flush()

    while True:
        count += 1
        client.call("config.update", {"app": app, "body": {"COUNT": str(count)}})
        tell("count", count)
        if chance.random() < 0.3:
            quantity = chance.randrange(3)
            client.call(
                "formation.update-one", {"app": app, "type": "worker", "body": {"quantity": quantity}}
            )
            tell("worker", quantity)
        if chance.random() < 0.2:
            newest = max(row["version"] for row in client.call("releases.list", {"app": app}))
            made = client.call("releases.create", {"app": app, "body": {"release": str(newest)}})
            tell("release", made["version"])


if __name__ == "__main__":
    main(*sys.argv[1:3])
