"""Host to app, app to dyno: the two pure choices."""

import random
from collections import Counter
from dataclasses import replace

import pytest

from dynod.model.route import AppRoute, Backend, RouteTable, Standing
from router.balance import Target, checkin, checkout, targets, tries
from router.table import MEMO, Routes, is_plain, without_port

ONE, TWO, THREE = (Backend(f"id{n}", f"web.{n}", "127.0.0.1", 8000 + n) for n in (1, 2, 3))


def routes(hosts: dict[str, str]) -> Routes:
    return Routes(
        RouteTable(
            1, {name: AppRoute(name, name, Standing.SERVING, (ONE,)) for name in hosts.values()}, hosts
        )
    )


def test_an_exact_host_beats_a_wildcard_which_is_one_label_deep():
    found = routes({"a.example.com": "exact", "*.example.com": "wild"}).find
    assert found(b"a.example.com").route.name == "exact"
    assert found(b"b.example.com").route.name == "wild"
    assert found(b"c.b.example.com") is None
    assert found(b"example.com") is None


def test_case_port_and_the_root_dot_do_not_matter():
    found = routes({"app.localhost": "app"}).find
    for host in (b"APP.localhost", b"app.localhost:8080", b"App.LocalHost.:80"):
        assert found(host).route.name == "app"
    assert found(b"App.localhost:8080").host == "App.localhost"
    assert without_port(b"[::1]:80") == b"[::1]"


def test_what_stands_in_a_wildcards_place_cannot_forge_a_field_of_the_access_line():
    found = routes({"*.example.com": "wild"}).find
    assert found(b"a status=200.example.com") is None
    assert found(b'".example.com') is None
    assert found(b".example.com") is None


@pytest.mark.parametrize(
    "port", [b":80@evil.example", b":x", b":80/..", b":80, b", b":80:90", b":999999", b":\xff", b":-1"]
)
def test_what_follows_a_name_is_a_port_or_the_name_is_nobodys(port):
    hosts = {"a.example.com": "exact", "*.example.com": "wild"}
    for name in (b"a.example.com", b"b.example.com"):
        assert routes(hosts).find(name + port) is None
        assert not is_plain(name + port)
        for good in (b"", b":", b":0", b":65535"):
            assert routes(hosts).find(name + good) is not None
    assert is_plain(b"[::1]:80")
    assert not is_plain(b"[::1]evil")


def test_the_spellings_that_are_remembered_are_few_and_the_newest_is_among_them():
    found = routes({"*.example.com": "wild"})
    for number in range(MEMO + 1):
        assert found.find(b"a%d.example.com" % number) is not None
        assert len(found.plain) <= len(found.seen) <= MEMO
    assert list(found.seen) == list(found.plain) == [b"a%d.example.com" % MEMO]


def test_a_host_whose_app_is_missing_is_nobodys():
    assert Routes(RouteTable(1, {}, {"a": "gone"})).find(b"a") is None


def test_a_new_table_keeps_what_is_known_of_a_dyno_that_stays():
    before = routes({"a": "a"})
    target = before.find(b"a").targets[0]
    target.in_flight = 3
    after = Routes(before.table, before)
    assert after.find(b"a").targets[0] is target
    moved = RouteTable(
        2, {"a": AppRoute("a", "a", Standing.SERVING, (Backend("id1", "web.1", "127.0.0.9", 1),))}, {"a": "a"}
    )
    assert Routes(moved, after).find(b"a").targets[0].in_flight == 0


def test_who_left_is_told_by_the_apps_that_changed_and_a_new_limit_reaches_those_that_did_not():
    same, changed, gone = (
        AppRoute(name, name, Standing.SERVING, (replace(ONE, id=f"{name}1"), replace(TWO, id=f"{name}2")))
        for name in ("same", "changed", "gone")
    )
    hosts = {"s": "same", "c": "changed", "g": "gone"}
    before = Routes(RouteTable(1, {"same": same, "changed": changed, "gone": gone}, hosts))
    less = replace(changed, backends=changed.backends[1:])
    after = Routes(RouteTable(2, {"same": same, "changed": less}, hosts), before)
    assert after.find(b"s").targets is before.find(b"s").targets
    assert after.find(b"c").targets[0] is before.find(b"c").targets[1]
    assert sorted(target.backend.id for target in after.left(before)) == ["changed1", "gone1", "gone2"]

    limited = Routes(RouteTable(3, {"same": same, "changed": less}, hosts), after, most=7)
    assert {target.most for target in limited.by_id().values()} == {7}
    assert list(limited.left(after)) == []
    asleep = Routes(RouteTable(4, {"same": replace(same, standing=Standing.IDLE)}, hosts), limited, most=7)
    assert (asleep.find(b"s").targets, len(list(asleep.left(limited)))) == ((), 3)


def test_the_choice_is_uniform_over_all_and_over_those_out_of_quarantine():
    choice = targets((ONE, TWO, THREE), {})
    chance = random.Random(1).random
    count = Counter(checkout(choice, 0, chance).backend.dyno for _ in range(30_000))
    assert all(abs(n - 10_000) < 300 for n in count.values()), count
    choice[0].quarantined_until = 5
    count = Counter(checkout(choice, 4.9, chance).backend.dyno for _ in range(30_000))
    assert set(count) == {"web.2", "web.3"}
    assert abs(count["web.2"] - 15_000) < 300
    assert {checkout(choice, 5, chance).backend.dyno for _ in range(100)} == {"web.1", "web.2", "web.3"}


def test_all_in_quarantine_is_none():
    target = Target(ONE)
    target.quarantined_until = 5
    assert checkout([target], 4, random.random) is None
    assert target.in_flight == 0


def test_checkout_and_checkin_count_what_is_in_flight():
    target = Target(ONE)
    checkout([target], 0, random.random)
    checkout([target], 0, random.random)
    checkin(target)
    assert target.in_flight == 1


def test_ten_tries_or_one_per_dyno():
    assert tries([Target(ONE)] * 3) == 3
    assert tries([Target(ONE)] * 30) == 10
