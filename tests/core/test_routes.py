"""What the router hears of an app, and what a dyno's environment and jail look like."""

from dataclasses import replace

import pytest

from dynod.core import environ, launch, routes
from dynod.core.fleet import Fleet, Slot
from dynod.core.launch import Ground, Wiring
from dynod.core.lifecycle import Phase
from dynod.model import route
from dynod.model.app import Account, App, AppId, AppName
from dynod.model.dyno import DynoState
from dynod.model.formation import DEFAULT_SIZE, MIB, Formation, ProcessType
from dynod.model.jail import Bind, Ceiling, JailPlan, Limits
from dynod.model.route import Backend, Standing
from dynod.model.settings import Settings
from tests.core.test_lifecycle import dyno

APP = App(AppId("a1"), AppName("demo"), Account("u1", "me@x"), 1.0, 1.0, "debian-12", "debian-12")
WEB = (Formation("f1", ProcessType("web"), 2, DEFAULT_SIZE, "run"),)


def fleet(*phases):
    dynos = [
        replace(dyno(f"web.{number}", phase), id=f"d{number}", address=f"172.16.0.{number}")
        for number, phase in enumerate(phases, 1)
    ]
    return Fleet({each.id: each for each in dynos}, {each.name: Slot(each.id) for each in dynos})


@pytest.mark.parametrize(
    ("phases", "rows", "deployed", "maintenance", "standing"),
    [
        ((), (), False, False, Standing.BLANK),
        ((), (), True, False, Standing.NO_WEB),
        ((), WEB, True, False, Standing.BOOTING),
        ((Phase.STARTING,), WEB, True, False, Standing.BOOTING),
        ((Phase.ENDED, Phase.ENDED), WEB, True, False, Standing.CRASHED),
        ((Phase.ENDED, Phase.LAUNCHING), WEB, True, False, Standing.BOOTING),
        ((Phase.UP, Phase.ENDED), WEB, True, False, Standing.SERVING),
        ((Phase.UP, Phase.UP), WEB, True, True, Standing.MAINTENANCE),
        ((), (), False, True, Standing.MAINTENANCE),
        ((), (), True, True, Standing.MAINTENANCE),
        ((Phase.ENDED,), WEB, True, True, Standing.MAINTENANCE),
    ],
)
def test_standing(phases, rows, deployed, maintenance, standing):
    app = replace(APP, maintenance=maintenance)
    route = routes.app_route(app, rows, fleet(*phases), {}, {}, deployed=deployed)
    assert route.standing is standing
    assert bool(route.backends) is (standing is Standing.SERVING)


@pytest.mark.parametrize(
    ("phases", "rows", "spent", "standing"),
    [
        ((Phase.FROZEN, Phase.ENDED), WEB, False, Standing.IDLE),
        ((Phase.STOPPING,), WEB, False, Standing.IDLE),
        ((Phase.ENDED,), WEB, True, Standing.SPENT),
        ((), WEB, True, Standing.SPENT),
        ((), (), True, Standing.NO_WEB),
    ],
)
def test_standing_of_an_app_that_sleeps(phases, rows, spent, standing):
    one = fleet(*phases)
    idle = {ident: replace(each, shown=DynoState.IDLE) for ident, each in one.dynos.items()}
    route = routes.app_route(APP, rows, replace(one, dynos=idle), {}, {}, deployed=True, spent=spent)
    assert (route.standing, route.backends) == (standing, ())


def test_only_dynos_that_are_up_are_backends():
    route = routes.app_route(
        APP,
        WEB,
        fleet(Phase.UP, Phase.STOPPING),
        {"ERROR_PAGE_URL": "e", "MAINTENANCE_PAGE_URL": "m"},
        {"x": True, "y": False},
        deployed=True,
    )
    assert route.backends == (Backend("d1", "web.1", "172.16.0.1", 5000),)
    assert (route.error_page, route.maintenance_page, route.features) == ("e", "m", frozenset({"x"}))


def test_the_table_names_every_app_under_the_domain():
    route = routes.app_route(APP, (), Fleet(), {}, {}, deployed=False)
    made = routes.table(7, [route], "localhost", {"www.example.com": "a1", "gone.example.com": "a2"})
    hosts = {"demo.localhost": "a1", "www.example.com": "a1"}
    assert (made.generation, made.hosts, made.apps) == (7, hosts, {"a1": route})


def test_the_table_passes_on_what_is_set_for_routers_herokus_numbers_if_nothing_is():
    assert routes.limits(Settings()) == route.Limits(50, 50, 10_000, 0, 30.0, 55.0, 90.0)
    limits = routes.limits(Settings(router_in_flight=7, router_head_timeout=3.0))
    assert routes.table(1, [], "localhost", {}, limits).limits == route.Limits(
        7, 50, 10_000, 0, 3.0, 55.0, 90.0
    )


def test_the_platforms_words_win_over_config_and_config_over_the_stack():
    env = environ.environ(
        {"PORT": "1", "A": "b", "LANG": "de", "PATH": "/x"},
        {"A": "c", "TERM": "dumb", "HEROKU_APP_NAME": "other"},
        dyno="web.1",
        port=5000,
        memory=512 * MIB,
        stack_env={"LANG": "C.UTF-8"},
        metadata={"HEROKU_APP_NAME": "demo"},
    )
    assert env == {
        "LANG": "de",
        "PATH": "/x",
        "A": "c",
        "TERM": "dumb",
        "HEROKU_APP_NAME": "demo",
        "HOME": "/app",
        "PWD": "/app",
        "PORT": "5000",
        "DYNO": "web.1",
        "DYNO_RAM": "512",
    }
    extra = {"A": "d", "PORT": "1", "HEROKU_APP_NAME": "other", "COLUMNS": "80"}
    assert environ.inside(env, extra) == {**env, "A": "d", "COLUMNS": "80"}


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("run -p $PORT", "run -p 5000"),
        ("run ${PORT}x $NOPE $$", "run 5000x $NOPE $$"),
        ("plain", "plain"),
    ],
)
def test_the_log_shows_the_command_expanded(command, said):
    assert environ.expanded(command, {"PORT": "5000"}) == said


@pytest.mark.parametrize(
    ("asked", "command"),
    [("rake db:migrate", "bundle exec rake db:migrate"), ("rake", "bundle exec rake"), ("bash", "bash")],
)
def test_a_first_word_may_be_a_process_type(asked, command):
    assert environ.one_off_command(asked, {"rake": "bundle exec rake"}) == command


GROUND = Ground("/state/stack/debian-12", (Bind("/usr", "/usr"),), "/state/dynos", "/state/slugs/blank")


def test_a_dynos_plan_survives_its_journey_and_can_be_read():
    plan = launch.launch_plan(
        dyno(), "demo", "/state/slugs/abc", DEFAULT_SIZE, {"A": "b"}, GROUND, Wiring(200_001, "/run/netns/1")
    )
    assert JailPlan.from_json(plan.to_json()) == plan
    assert plan.lower == (("/state/slugs/abc", True), ("/state/stack/debian-12", False))
    assert plan.limits == Limits((2 * 512 + 64) * MIB, 256, 1, disk=4096 * MIB, inodes=262_144)
    assert plan.labels["name"] == "web.1"
    told = "\n".join(plan.describe())
    assert "overlay at /: lower /state/slugs/abc (idmapped) : /state/stack/debian-12" in told
    assert "bind /usr at /usr (ro, nosuid, nodev)" in told
    with pytest.raises(ValueError, match="unknown fields"):
        JailPlan.from_json({**plan.to_json(), "extra": 1})


def test_a_machine_without_a_ceiling_asks_for_none():
    ground = replace(GROUND, ceiling=Ceiling.NONE)
    plan = launch.launch_plan(dyno(), "demo", "", DEFAULT_SIZE, {}, ground, Wiring(200_001, ""))
    assert (plan.limits.disk, plan.limits.inodes) == (0, 0)


def test_a_blank_app_runs_on_an_empty_app_of_its_own():
    plan = launch.launch_plan(dyno("run.1234"), "demo", "", DEFAULT_SIZE, {}, GROUND, Wiring(200_001, ""))
    assert plan.lower == (("/state/slugs/blank", True), ("/state/stack/debian-12", False))


def test_a_build_sees_its_directory_and_nothing_else_of_the_host_and_writes_nowhere_but_on_its_own_disk():
    plan = launch.build_plan(
        "b1",
        "a1",
        "demo",
        1234,
        "/state/builds/b1",
        (Bind("/x", "/opt/x"),),
        2048,
        4096 * MIB,
        GROUND,
        Wiring(200_001, ""),
        {"LANG": "C"},
    )
    assert [bind.target for bind in plan.binds if bind.writable] == []
    assert [bind.target for bind in plan.binds if bind.idmap] == ["/build"]
    assert plan.limits.disk == 4096 * MIB
    assert "config" not in plan.env
    assert "bind /state/builds/b1 at /build (ro, nosuid, nodev, as the dyno's own files)" in plan.describe()
