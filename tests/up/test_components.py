"""The table of components and the restart rule, without any process."""

from dataclasses import replace

from dynod.model.settings import Endpoint, Settings
from dynod.up.components import STOP_ORDER, next_young, plan, restart_delay


def test_every_component_has_a_place_in_the_stop_order():
    names = [component.name for stage in plan(Settings(), None) for component in stage]
    assert sorted(names) == sorted(STOP_ORDER)


def test_the_control_plane_waits_for_host_net_and_logplex_and_the_router_for_the_control_plane():
    assert [{component.name for component in stage} for stage in plan(Settings(), None)] == [
        {"host", "net", "logplex"},
        {"serve"},
        {"router"},
    ]


def test_the_first_death_is_answered_at_once_and_young_ones_wait_longer_each_time():
    assert [restart_delay(n) for n in (1, 2, 3, 4, 20)] == [0.0, 0.5, 1.0, 2.0, 30.0]


def test_a_long_life_resets_the_count():
    assert next_young(7, 3600) == 1
    assert next_young(7, 1) == 8


def test_real_ports_reach_serve_and_router():
    settings = Settings(api=Endpoint("127.0.0.1", 5123), router=Endpoint("127.0.0.1", 8123))
    (_, (serve,), (router,)) = plan(settings, "/etc/x.toml")
    assert serve.argv[serve.argv.index("--api") + 1] == "127.0.0.1:5123"
    assert serve.argv[serve.argv.index("--config") + 1] == "/etc/x.toml"
    assert router.argv[router.argv.index("--listen") + 1] == "127.0.0.1:8123"
    assert "--tls" not in router.argv
    (_, (serve,), (router,)) = plan(replace(settings, router_tls=Endpoint("127.0.0.1", 8486)), None)
    assert router.argv[router.argv.index("--tls") + 1] == "127.0.0.1:8486"
    assert serve.argv[serve.argv.index("--router-tls") + 1] == "127.0.0.1:8486"
