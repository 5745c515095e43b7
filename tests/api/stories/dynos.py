"""The formation, dynos, what came of their requests, and where their log is."""

from dataclasses import replace

from dynod.model.autopsy import Autopsy, Cause, Changed
from dynod.model.tally import Tally
from dynod.model.traffic import Latency, Traffic
from tests.api.story import covers, made


@covers("formation.list", "formation.info")
async def the_formation_lists_types(whole):
    await made(whole, deployed=True)
    rows = (await whole.ask("GET", "/apps/demo/formation")).body
    assert [(row["type"], row["quantity"], row["size"]) for row in rows] == [
        ("web", 1, "Standard-1X"),
        ("worker", 0, "Standard-1X"),
    ]
    assert (await whole.ask("GET", "/apps/demo/formation/worker")).body == rows[1]
    assert (await whole.ask("GET", "/apps/demo/formation/none")).status == 404


@covers("formation.update", "formation.update-one")
async def scaling_takes_what_the_cli_writes(whole):
    await made(whole, deployed=True)
    updates = [{"type": "web", "quantity": "2"}, {"type": "worker", "quantity": "+1", "size": "Standard-2X"}]
    answer = await whole.ask("PATCH", "/apps/demo/formation", {"updates": updates})
    assert [(row["quantity"], row["size"]) for row in answer.body] == [(2, "Standard-1X"), (1, "Standard-2X")]
    one = await whole.ask("PATCH", "/apps/demo/formation/web", {"quantity": 3, "size": "performance-m"})
    assert (one.body["quantity"], one.body["size"]) == (3, "Performance-M")
    for row in (
        {"quantity": "many"},
        {"quantity": -1},
        {"quantity": True},
        {"size": "huge"},
        {"quantity": 1.5},
    ):
        assert (await whole.ask("PATCH", "/apps/demo/formation/web", row)).status == 422, row
        body = {"updates": [{"type": "worker", "quantity": 9}, {"type": "web", **row}]}
        assert (await whole.ask("PATCH", "/apps/demo/formation", body)).status == 422, row
    assert (await whole.ask("GET", "/apps/demo/formation/worker")).body["quantity"] == 1  # all or none
    assert (await whole.ask("PATCH", "/apps/demo/formation", {"updates": [{"type": "none"}]})).status == 404


@covers("dynos.list", "dynos.info")
async def dynos_are_listed_and_found_by_name_and_id(whole):
    await made(whole, deployed=True)
    (web,) = (await whole.ask("GET", "/apps/demo/dynos")).body
    assert (web["name"], web["type"], web["state"]) == ("web.1", "web", "up")
    assert web["release"]["version"] == 3
    for ident in ("web.1", web["id"]):
        assert (await whole.ask("GET", f"/apps/demo/dynos/{ident}")).body == web
    assert (await whole.ask("GET", "/apps/demo/dynos/web.9")).status == 404
    assert (await whole.ask("GET", "/apps/demo/dynos?extended=true")).body[0]["extended"]["region"] == "us"


@covers("dynos.create")
async def a_detached_one_off_takes_its_fields(whole):
    await made(whole, deployed=True)
    body = {
        "command": "echo $WORD",
        "env": {"WORD": "hi", "COLUMNS": 80},
        "size": "Standard-2X",
        "time_to_live": 60,
        "type": "rake",
        "attach": False,
    }
    answer = await whole.ask("POST", "/apps/demo/dynos", body)
    assert (answer.status, answer.body["attach_url"], answer.body["type"]) == (201, None, "rake")
    (asked,) = [ask for what, ask in whole.platform.done if what == "run"]
    assert (asked.env, asked.ttl, asked.size.name) == ({"WORD": "hi", "COLUMNS": "80"}, 60, "Standard-2X")


@covers("dynos.create")
async def a_one_off_that_cannot_be_is_refused_by_field(whole):
    await made(whole, deployed=True)
    for field, value in (
        ("command", ""),
        ("command", 5),
        ("command", "a\0b"),
        ("attach", "yes"),
        ("env", []),
        ("env", {"A": {}}),
        ("size", "huge"),
        ("type", "a b"),
        ("type", "release"),
        ("time_to_live", 0),
        ("time_to_live", 86401),
        ("force_no_tty", 1),
    ):
        answer = await whole.ask("POST", "/apps/demo/dynos", {"command": "ls", field: value})
        assert answer.status == 422, (field, value)
    assert not [one for one in whole.platform.done if one[0] == "run"]


@covers("dynos.why", "dynos.autopsy")
async def causes_and_ends_are_told_of_dynos_that_are_no_more(whole):
    app = await made(whole)
    whole.platform.causes = [Cause(5.0, "d1", "web.7", "crashed", "exited with status 1")]
    files = (Changed("/app/x", "file", 2),)
    death = Autopsy("d1", "web.7", "crashed", 1, "c", 9, 3, "Basic", "./s", 1.0, 5.0, ("l",), files, cut=True)
    counted = replace(death, peak=0, tally=Tally(cpu_user=0.5, memory_kills=0))
    whole.platform.deaths = [death, counted]
    assert (await whole.ask("GET", "/apps/demo/dynos/web.7/why")).body == [
        {
            "app": {"id": app["id"], "name": "demo"},
            "created_at": "1970-01-01T00:00:05Z",
            "dyno": {"id": "d1", "name": "web.7"},
            "event": "crashed",
            "reason": "exited with status 1",
        }
    ]
    body, other = (await whole.ask("GET", "/apps/demo/dynos/d1/autopsy")).body
    assert body["files"] == [{"path": "/app/x", "kind": "file", "size": 2}]
    assert (body["exit_status"], body["memory_peak"], body["files_truncated"]) == (1, 9, True)
    assert other["memory_peak"] is None  # nobody knows, which is not 0
    assert {name: value for name, value in other["cgroup"].items() if value is not None} == {
        "cpu_user": 0.5,
        "memory_kills": 0,
    }
    assert (await whole.ask("GET", "/apps/demo/dynos/web.8/why")).body == []


@covers("metrics.router")
async def what_came_of_an_apps_requests(whole):
    app = await made(whole)
    service, connect = Latency(), Latency()
    service.note(7, 98)
    service.note(40, 2)
    connect.note(0, 100)
    whole.platform.requests = {"demo": Traffic({200: 98, 503: 2}, {"H12": 2}, 10, 2000, service, connect)}
    body = (await whole.ask("GET", "/apps/demo/router-metrics")).body
    whole.platform.requests = {}
    part = {
        "bytes_in": 10,
        "bytes_out": 2000,
        "codes": {"H12": 2},
        "connect_ms": {"max": 0, "mean": 0.0, "p50": 0, "p95": 0, "p99": 0},
        "requests": 100,
        "service_ms": {"max": 40, "mean": 7.7, "p50": 7, "p95": 7, "p99": 40},
        "statuses": {"1xx": 0, "2xx": 98, "3xx": 0, "4xx": 0, "5xx": 2},
    }
    assert body == {
        "app": {"id": app["id"], "name": "demo"},
        "in_flight": 2,
        "recent": {**part, "seconds": 330},
        "since": "2023-11-14T22:13:20Z",
        "total": part,
    }
    nothing = (await whole.ask("GET", "/apps/demo/router-metrics")).body["total"]
    assert nothing["service_ms"] == {"max": None, "mean": None, "p50": None, "p95": None, "p99": None}


@covers("dynos.run-inside")
async def a_command_runs_in_a_dyno(whole):
    await made(whole, deployed=True)
    body = {"command": "ls", "env": {"TERM": "dumb", "COLUMNS": 80}, "force_no_tty": True}
    answer = await whole.ask("POST", "/apps/demo/dynos/web.1", body)
    assert (answer.status, answer.body["name"], answer.body["type"]) == (201, "web.1", "web")
    assert answer.body["attach_url"].startswith(f"rendezvous://127.0.0.1:{whole.api.rendezvous_port}/")
    kind, name, asked = whole.platform.done[-1]
    assert (kind, name, asked.command, asked.force_no_tty) == ("exec", "web.1", "ls", True)
    assert (await whole.ask("POST", "/apps/demo/dynos/web.9", {"command": "ls"})).status == 404
    for body in ({}, {"command": ""}, {"command": 1}, {"command": "a\0"}, {"command": "ls", "env": "x"}):
        assert (await whole.ask("POST", "/apps/demo/dynos/web.1", body)).status == 422


@covers("dynos.forward-url")
async def a_port_of_a_dyno_is_met_at_an_address(whole):
    await made(whole, deployed=True)
    answer = await whole.ask("POST", "/apps/demo/dynos/web.1/actions/forward", {"port": 5432})
    assert (answer.status, answer.body["name"]) == (201, "web.1")
    assert answer.body["attach_url"].startswith(f"rendezvous://127.0.0.1:{whole.api.rendezvous_port}/")
    assert whole.platform.done[-1] == ("dial", "web.1", 5432)
    missing = await whole.ask("POST", "/apps/demo/dynos/web.9/actions/forward", {"port": 80})
    assert missing.status == 404
    for body in ({}, {"port": 0}, {"port": 65_536}, {"port": "80"}):
        answer = await whole.ask("POST", "/apps/demo/dynos/web.1/actions/forward", body)
        assert answer.status == 422


@covers("dynos.restart-all", "dynos.restart", "dynos.restart-type", "dynos.stop", "dynos.stop-type")
async def dynos_are_restarted_and_stopped(whole):
    await made(whole, deployed=True)
    for method, path, done in (
        ("DELETE", "dynos", ("restart", "demo", None)),
        ("DELETE", "dynos/web.1", ("restart", "demo", "web.1")),
        ("DELETE", "formations/web", ("restart", "demo", "web")),
        ("POST", "dynos/web.1/actions/stop", ("stop", "demo", "web.1")),
        ("POST", "formations/web/actions/stop", ("stop", "demo", "web")),
    ):
        answer = await whole.ask(method, f"/apps/demo/{path}")
        assert (answer.status, answer.body) == (202, {})
        assert whole.platform.done[-1] == done
    assert (await whole.ask("DELETE", "/apps/demo/dynos/web.9")).status == 404


@covers("logs.create")
async def a_log_session_gives_an_address(whole):
    await made(whole)
    answer = await whole.ask("POST", "/apps/demo/log-sessions", {"lines": 5, "tail": False, "source": "app"})
    assert answer.status == 201
    assert answer.body["logplex_url"].startswith(f"{whole.url}/streams/logs/")
    for body in ({"lines": -1}, {"lines": "5"}, {"tail": "yes"}, {"dyno": 1}, {"source": []}):
        assert (await whole.ask("POST", "/apps/demo/log-sessions", body)).status == 422
