"""Dynos: list, start a one-off, restart, stop, attach."""

import asyncio
from dataclasses import replace
from typing import Any

from dynod.api import fields, render
from dynod.api.operation import Ask
from dynod.engine.platform import Attached, RunAsk
from dynod.link import Call
from dynod.model.dyno import DynoView
from dynod.model.formation import RELEASE, dyno_size, process_type
from dynod.model.refused import Refusal, Refused

IDLE = 3600.0  # seconds without a byte either way, then we hang up (HEROKU.md 1.10)


def _dyno(ask: Ask, ident: str) -> DynoView:
    for one in ask.platform.dynos(ask.app):
        if ident in {str(one.name), one.id}:
            return one
    raise Refused(
        Refusal.NOT_FOUND,
        f"cannot find the dyno {ident[:140]!r} in {ask.app.name}; `ps` lists those there are",
    )


async def index(ask: Ask) -> Any:
    more = {"extended": render.extended(ask.app)} if "extended" in ask.query else {}
    return [{**render.dyno(ask.app, one), **more} for one in ask.platform.dynos(ask.app)]


async def info(ask: Ask) -> Any:
    return render.dyno(ask.app, _dyno(ask, ask.params["dyno"]))


def _run_ask(body: Any, *, attach: bool) -> RunAsk:
    kind, size = fields.optional_text(body, "type") or "run", fields.identity(body, "size")
    if process_type(kind) == RELEASE:
        raise Refused(Refusal.INVALID, "cannot start a one-off of type release: only releases start those")
    command = fields.text(body, "command")
    if "\0" in command:
        raise Refused(
            Refusal.INVALID, "cannot take the field 'command' as it is: no command line holds a NUL"
        )
    return RunAsk(
        command=command,
        attach=attach,
        env=fields.environment(body.get("env"), "env"),
        force_no_tty=bool(fields.optional_flag(body, "force_no_tty")),
        size=dyno_size(size) if size else None,
        type=kind,
        ttl=fields.number(body, "time_to_live", 1, 86_400),
    )


def _meeting(ask: Ask, attached: Attached, wanted: RunAsk) -> str:
    host, pipe = ask.links.api_host, wanted.force_no_tty
    return ask.front.rendezvous.offer(attached, host, pipe=pipe, command=wanted.command)


async def create(ask: Ask) -> Any:
    """Start a one-off; with `attach`, its `attach_url` is where the client meets it."""
    body = fields.mapping(ask.body)
    wanted = _run_ask(body, attach=bool(fields.optional_flag(body, "attach")))
    one, attached = await ask.platform.run(ask.account, ask.app, wanted)
    url = None
    if attached is not None:
        url = _meeting(ask, attached, wanted)
    return render.dyno(ask.app, one, url)


async def run_inside(ask: Ask) -> Any:
    """As `heroku run:inside`: one more command in a dyno that runs, met at `attach_url`."""
    one = _dyno(ask, ask.params["dyno"])
    wanted = _run_ask(fields.mapping(ask.body), attach=True)
    attached = await ask.platform.exec(ask.account, ask.app, one.id, wanted)
    url = _meeting(ask, attached, wanted)
    return render.dyno(ask.app, one, url)


async def forward_url(ask: Ask) -> Any:
    """A connection to a port of a dyno that runs, met at `attach_url`."""
    one, attached = await _dialed(ask)
    url = ask.front.rendezvous.offer(attached, ask.links.api_host, pipe=False, command=None)
    return render.dyno(ask.app, one, url)


async def restart_all(ask: Ask) -> Any:
    await ask.platform.restart(ask.account, ask.app, None)
    return {}


async def restart_one(ask: Ask) -> Any:
    await ask.platform.restart(ask.account, ask.app, str(_dyno(ask, ask.params["dyno"]).name))
    return {}


async def restart_type(ask: Ask) -> Any:
    await ask.platform.restart(ask.account, ask.app, process_type(ask.params["type"]))
    return {}


async def stop_one(ask: Ask) -> Any:
    await ask.platform.stop(ask.account, ask.app, str(_dyno(ask, ask.params["dyno"]).name))
    return {}


async def stop_type(ask: Ask) -> Any:
    await ask.platform.stop(ask.account, ask.app, process_type(ask.params["type"]))
    return {}


async def why(ask: Ask) -> Any:
    """Ours: why a dyno started and stopped, oldest first, also one that is no more."""
    return [render.cause(ask.app, one) for one in await ask.platform.why(ask.app, ask.params["dyno"])]


async def autopsy(ask: Ask) -> Any:
    """Ours: how dynos of a name ended, the newest first; each with its last log lines and the files it had changed."""
    kept = await ask.platform.autopsies(ask.app, ask.params["dyno"])
    return [render.autopsy(ask.app, one) for one in kept]


async def explain(ask: Ask, call: Call) -> Any:  # noqa: ARG001  # a stream's handler, without items
    """Say what was mounted for a dyno, line by line."""
    return list(ask.platform.explain(ask.app, str(_dyno(ask, ask.params["dyno"]).name)))


async def attach(ask: Ask, call: Call) -> Any:
    """Run a one-off with the caller at its terminal: items and inputs as `_bridge` says."""
    wanted = _at_terminal(ask)
    one, attached = await ask.platform.run(ask.account, ask.app, wanted)
    assert attached is not None, "asked to attach"
    return await _bridge(call, one, attached)


async def exec_inside(ask: Ask, call: Call) -> Any:
    """Run one more command in a dyno, with the caller at its terminal: as `attach`."""
    one = _dyno(ask, ask.params["dyno"])
    attached = await ask.platform.exec(ask.account, ask.app, one.id, _at_terminal(ask))
    return await _bridge(call, one, attached)


async def forward(ask: Ask, call: Call) -> Any:
    """Connect to a TCP port of a dyno: items and inputs as `attach`."""
    one, attached = await _dialed(ask)
    return await _bridge(call, one, attached)


async def _dialed(ask: Ask) -> tuple[DynoView, Attached]:
    one = _dyno(ask, ask.params["dyno"])
    port = fields.number(fields.mapping(ask.body), "port", 1, 65_535)
    if port is None:
        raise Refused(Refusal.INVALID, "cannot do this without the field 'port'")
    return one, await ask.platform.dial(ask.app, one.id, port)


def _at_terminal(ask: Ask) -> RunAsk:
    body = fields.mapping(ask.body)
    wanted = _run_ask(body, attach=True)
    sizes = {name.upper(): fields.number(body, name, 1, 10_000) for name in ("columns", "lines")}
    env = {**{name: str(size) for name, size in sizes.items() if size is not None}, **wanted.env}
    return replace(wanted, env=env)


async def _bridge(call: Call, one: DynoView, attached: Attached) -> Any:
    """Items: `{"name": dyno}`, output as bytes, and `{"took": n}` for so many bytes of input that went on.

    Inputs: bytes, `{"eof": true}`, and `{"columns": n, "lines": n}` for a window of another size. Who sends no more than it can
    spare before it was took keeps the control plane from having to hold it.
    """
    try:
        async with asyncio.timeout(IDLE) as idle:
            typing = asyncio.ensure_future(_typed(call, attached, idle))
            try:
                await call.item({"name": str(one.name)})
                async for data in attached.output():
                    _heard(idle)
                    await call.item(data)
                idle.reschedule(None)
                return {"status": await attached.status(), "name": str(one.name)}
            finally:
                typing.cancel()
                await asyncio.gather(typing, return_exceptions=True)
                attached.close()
    except TimeoutError:
        raise Refused(
            Refusal.GONE,
            f"cannot go on with {one.name}: nothing was said for {IDLE / 3600:g} h, so we hung up",
        ) from None


def _heard(idle: asyncio.Timeout) -> None:
    idle.reschedule(asyncio.get_running_loop().time() + IDLE)


async def _typed(call: Call, attached: Attached, idle: asyncio.Timeout) -> None:
    async for value in call.inputs():
        _heard(idle)
        match value:
            case bytes():
                await attached.write(value)
                await call.item({"took": len(value)})
            case {"eof": True}:
                await attached.write_eof()
            case {"columns": int(columns), "lines": int(lines)} if (
                0 < columns < 10_000 and 0 < lines < 10_000
            ):
                attached.resize(columns, lines)
            case _:
                pass
