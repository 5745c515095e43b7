"""App features (`features:enable preboot`, `labs`): the catalogue of those the platform knows, and their switches."""

from typing import Any

from dynod.api import fields, render, shapes
from dynod.api.operation import Ask
from dynod.model.refused import Refusal, Refused

_KNOWN = {
    "http-session-affinity": {
        "description": "Route all requests of one browser to the same dyno",
        "display_name": "Session affinity",
    },
    "http-disable-keepalive-to-dyno": {
        "description": "Have the router make a new connection to the dyno for each request",
        "display_name": "No keep-alive to dynos",
        "state": "labs",
    },
    "preboot": {
        "description": "Start new web dynos before the old ones are stopped",
        "display_name": "Preboot",
    },
    "rolling-deploys": {
        "description": "Replace web dynos a quarter at a time",
        "display_name": "Rolling deploys",
        "state": "labs",
    },
    "runtime-dyno-metadata": {
        "description": "Put app, dyno and release into the environment as HEROKU_ variables",
        "display_name": "Dyno metadata",
        "state": "labs",
    },
    "runtime-dyno-build-metadata": {
        "description": "Put the commit that was built into the environment as HEROKU_BUILD_ variables",
        "display_name": "Dyno build metadata",
        "state": "labs",
    },
    "freeze-when-idle": {
        "description": "Freeze the dyno's processes instead of stopping them when no request comes for a while",
        "display_name": "Freeze when idle",
        "state": "labs",
    },
    "log-runtime-metrics": {
        "description": "Write memory and load of each dyno into the app's log",
        "display_name": "Runtime metrics",
        "state": "labs",
    },
}

_ABSENT = {
    "runtime-heroku-exec": (
        "cannot open ssh into a dyno, as ps:exec, ps:copy, ps:forward and ps:socks of the heroku CLI do: use "
        "`heroku run:inside web.1 bash`, or `dyno ps:exec`, `dyno ps:copy` and `dyno ps:forward` on this machine"
    )
}


def _json(name: str, *, enabled: bool) -> Any:
    return render.feature("app", name, _KNOWN.get(name, {}), enabled=enabled)


def _name(ask: Ask) -> str:
    """Return the feature's name, given as name or id."""
    ident = ask.params["feature"]
    for name in {**_KNOWN, **ask.platform.features(ask.app)}:
        if ident in {name, shapes.fixed_id("app-feature", name)}:
            return name
    unknown = f"cannot find the feature {ident[:100]!r}; there are {', '.join(sorted(_KNOWN))}"
    raise Refused(Refusal.NOT_FOUND, _ABSENT.get(ident, unknown))


async def index(ask: Ask) -> Any:
    on = ask.platform.features(ask.app)
    return [_json(name, enabled=on.get(name, False)) for name in sorted({*_KNOWN, *on})]


async def info(ask: Ask) -> Any:
    name = _name(ask)
    return _json(name, enabled=ask.platform.features(ask.app).get(name, False))


async def update(ask: Ask) -> Any:
    name, enabled = _name(ask), fields.flag(fields.mapping(ask.body), "enabled")
    await ask.platform.set_feature(ask.account, ask.app, name, enabled=enabled)
    return _json(name, enabled=enabled)
