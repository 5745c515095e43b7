"""The environment that points the official `heroku` CLI, and git, at this machine (CLI.md 1.1), for `dyno env`."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit


def cli_exports(ready: Mapping[str, Any]) -> dict[str, str]:
    """Take RUN/ready.json, return name -> value. The CLI accepts no other hosts than localhost and 127.0.0.1."""
    api, ca = str(ready["api"]), str(ready["ca"])
    return {
        "HEROKU_HOST": api,
        "HEROKU_API_KEY": str(ready["token"]),
        "HEROKU_PARTICLEBOARD_URL": api,
        "HEROKU_DATA_HOST": urlsplit(api).hostname or "127.0.0.1",
        "HEROKU_STATUS_HOST": api,
        "HEROKU_BUILDPACK_REGISTRY_URL": api,
        "HEROKU_EXEC_URL": api,
        "HEROKU_LOGIN_HOST": api,
        "HEROKU_GIT_HOST": urlsplit(api).netloc,
        "NODE_EXTRA_CA_CERTS": ca,
        "GIT_SSL_CAINFO": ca,
        "DISABLE_TELEMETRY": "true",
        "HEROKU_SKIP_NEW_VERSION_CHECK": "true",
        "HEROKU_NOTIFICATIONS": "0",
    }
