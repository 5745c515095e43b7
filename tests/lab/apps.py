"""Many apps, inside the machine, without a build for each: `python apps.py COUNT DYNOS`, by the platform's own Python.

The slug of the app `small` is put into COUNT apps by the Platform API's own way (slug, blob, release), and they are scaled to DYNOS in all:
every one has a web dyno and a worker, the first ones another web dyno. Prints their names.
"""

import json
import ssl
import sys
import urllib.request
from pathlib import Path
from typing import Any

from dynod.cli.client import Client

STATE, RUN = Path("/var/lib/dynod"), Path("/run/dynod")


def put(url: str, data: bytes) -> None:
    context = ssl.create_default_context(cafile=json.loads((RUN / "ready.json").read_text())["ca"])
    request = urllib.request.Request(url, data, {"Content-Type": ""}, method="PUT")
    urllib.request.urlopen(request, context=context).close()


def main(count: int, dynos: int) -> None:
    client = Client(str(RUN / "control.sock"))

    def call(method: str, **params: Any) -> Any:
        return client.call(method, params)

    newest = max(call("releases.list", app="small"), key=lambda row: int(row["version"]))
    slug = call("slugs.info", app="small", slug=newest["slug"]["id"])
    archive = (STATE / "slugs" / (slug["checksum"].removeprefix("SHA256:") + ".tgz")).read_bytes()
    about = {name: slug[name] for name in ("process_types", "checksum")}
    more = dynos - 2 * count
    for number in range(count):
        app = f"app{number}"
        call("apps.create", body={"name": app})
        made = call("slugs.create", app=app, body=about)
        put(made["blob"]["url"], archive)
        call("releases.create", app=app, body={"slug": made["id"]})
        for kind, quantity in (("web", 1 + (number < more)), ("worker", 1)):
            call("formation.update-one", app=app, type=kind, body={"quantity": quantity})
        print(app, flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
