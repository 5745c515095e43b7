"""Which plans may run: one change to a good plan, and the words of the refusal."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as some

from dynod.jail.check import BadPlan, Rules, check, parse, place

RULES = Rules("/var/lib/dynod", "/run/dynod", ("/srv/shown",), 200_000, 1000)
GOOD = {
    "id": "web.1-abc",
    "hostname": "web-1",
    "uid": 200_005,
    "lower": [["/var/lib/dynod/slugs/f00", True], ["/var/lib/dynod/stack/machine", False]],
    "binds": [{"source": "/usr", "target": "/usr", "writable": False, "idmap": False}],
    "scratch": "/var/lib/dynod/dynos/web.1-abc",
    "netns": "/run/netns/dyno-1",
    "limits": {"memory": 512 * 1024**2, "tasks": 256, "cpu": 1, "files": 10_000},
    "argv": ["bash", "-c", "echo hi"],
    "env": {"PORT": "5000"},
    "cwd": "/app",
    "stdio": "log",
    "labels": {"app": "a"},
    "columns": 80,
    "lines": 24,
}


def bind(source, target="/mnt/x", writable=False, idmap=False):
    return {"source": source, "target": target, "writable": writable, "idmap": idmap}


def test_a_good_plan_passes():
    check(parse(GOOD), RULES)


@pytest.mark.parametrize(
    "change",
    [
        {"netns": ""},
        {"netns": "/run/dynod/netns/x"},
        {"binds": []},
        {
            "binds": [
                bind("/lib64"),
                bind("/usr/lib"),
                bind("/srv/shown/x", writable=True),
                bind("/srv/shown"),
            ]
        },
        {"binds": [bind("/var/lib/dynod/cache/a", writable=True, idmap=True)]},
        {"hostname": "a"},
        {"limits": GOOD["limits"] | {"disk": 64 * 1024**2, "inodes": 4096, "ceiling": "image"}},
        {"limits": GOOD["limits"] | {"disk": 0, "inodes": 0, "ceiling": "none"}},
    ],
)
def test_what_else_may_run(change):
    check(parse({**GOOD, **change}), RULES)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"uid": 0}, "uid 0 is outside 200000 to 200999"),
        ({"uid": 199_999}, "uid 199999 is outside"),
        ({"uid": 201_000}, "uid 201000 is outside"),
        ({"uid": -1}, "uid -1 is outside"),
        ({"id": ""}, "an id is"),
        ({"id": "a/b"}, "an id is"),
        ({"id": ".."}, "an id is"),
        ({"id": "x" * 101}, "an id is"),
        ({"hostname": "a b"}, "is no host name"),
        ({"hostname": "x" * 64}, "is no host name"),
        ({"hostname": "-x"}, "is no host name"),
        ({"argv": []}, "argv is empty"),
        ({"argv": ["a\0b"]}, "argv is empty or holds a zero byte"),
        ({"env": {"A=B": "x"}}, "the environment variable 'A=B' cannot be set"),
        ({"env": {"": "x"}}, "the environment variable '' cannot be set"),
        ({"env": {"A": "x\0"}}, "the environment variable 'A' cannot be set"),
        ({"columns": 0}, "a terminal of 0 by 24"),
        ({"cwd": "app"}, "cwd 'app' is not absolute and plain"),
        ({"cwd": "/app/../etc"}, "is not absolute and plain"),
        ({"limits": {**GOOD["limits"], "memory": 0}}, "0 bytes of memory are too few"),
        ({"limits": {**GOOD["limits"], "tasks": 1}}, "1 tasks are too few"),
        ({"limits": {**GOOD["limits"], "cpu": 0}}, "cpu x0 is outside"),
        ({"limits": {**GOOD["limits"], "files": 1}}, "1 open files are outside"),
        ({"limits": {**GOOD["limits"], "disk": 1024, "inodes": 128}}, "a disk of 1024 bytes is outside"),
        ({"limits": {**GOOD["limits"], "disk": 2**25 + 1, "inodes": 128}}, "or no multiple of 4096"),
        ({"limits": {**GOOD["limits"], "disk": 2**50, "inodes": 128}}, "is outside"),
        ({"limits": {**GOOD["limits"], "disk": 2**25, "inodes": 1}}, "1 files on a disk of 33554432 bytes"),
        ({"lower": []}, "0 layers"),
        ({"lower": [["/var/lib/dynod/slugs/f", True]] * 9}, "9 layers"),
        ({"lower": [["/var/lib/dynod/../../etc", False]]}, "is not absolute and plain"),
        ({"lower": [["/var/lib/dynod//x", False]]}, "is not absolute and plain"),
        ({"lower": [["/etc", False]]}, "/etc is outside the directories"),
        ({"lower": [["/var/lib/dynodx/slugs", False]]}, "is outside the directories"),
        ({"lower": [["/var/lib/dynod", False]]}, "is outside the directories"),
        ({"binds": [bind("/usrx")]}, "/usrx is outside the directories"),
        ({"binds": [bind("/")]}, "/ is outside the directories"),
        ({"binds": [bind("/var/lib/dynod/secrets/key")]}, "is never shown to a dyno"),
        ({"binds": [bind("/var/lib/dynod/ledger.db")]}, "is never shown to a dyno"),
        ({"binds": [bind("/run/dynod/host/x")]}, "is never shown to a dyno"),
        ({"binds": [bind("/usr", "/")]}, "layers go there"),
        ({"binds": [bind("/usr", "/proc/sys")]}, "made for each dyno"),
        ({"binds": [bind("/usr", "/dev")]}, "made for each dyno"),
        ({"binds": [bind("/usr", "/mnt/../etc")]}, "it is not plain"),
        ({"binds": [bind("/usr/lib", writable=True)]}, "it is the machine's own"),
        ({"binds": [bind("/usr/lib", idmap=True)]}, "it is the machine's own"),
        ({"scratch": "/usr/scratch"}, "scratch /usr/scratch is outside"),
        ({"scratch": "/tmp/x"}, "is outside"),
        ({"scratch": "/var/lib/dynod/cache/x"}, "is outside /var/lib/dynod/dynos"),
        ({"scratch": "/var/lib/dynod/dynos/a/b"}, "is outside /var/lib/dynod/dynos"),
        ({"scratch": "/var/lib/dynod/dynos/.slots"}, "is outside /var/lib/dynod/dynos"),
        ({"netns": "/run/dynod/serve/x"}, "is neither in"),
        ({"netns": "/run/dynod/netns/x/y"}, "is neither in"),
        ({"netns": "/proc/1/ns/net"}, "is neither in /run/netns nor in /run/dynod"),
        ({"netns": "/run/netns/../../proc/1/ns/net"}, "is neither in"),
    ],
)
def test_what_may_not_run(change, words):
    with pytest.raises(BadPlan, match="cannot start") as refused:
        check(parse({**GOOD, **change}), RULES)
    assert words in str(refused.value)


@pytest.mark.parametrize(
    "change",
    [
        {"uid": "200005"},
        {"uid": True},
        {"uid": 1.5},
        {"id": 7},
        {"argv": [1]},
        {"env": {"A": 1}},
        {"env": []},
        {"labels": "x"},
        {"lower": "x"},
        {"binds": [{"source": "/usr"}]},
        {"binds": [bind("/usr", writable="no")]},
        {"limits": {"memory": 1}},
        {"limits": {**GOOD["limits"], "memory": "much"}},
        {"limits": {**GOOD["limits"], "disk": 1.5}},
        {"limits": {**GOOD["limits"], "ceiling": "sky"}},
        {"stdio": "tape"},
        {"more": 1},
        {"lines": None},
    ],
)
def test_what_is_no_plan(change):
    with pytest.raises(BadPlan):
        parse({**GOOD, **change})


@given(
    some.recursive(
        some.none() | some.booleans() | some.integers() | some.text(),
        lambda x: some.lists(x) | some.dictionaries(some.text(), x),
        max_leaves=5,
    ),
    some.sampled_from(sorted(GOOD)),
)
def test_no_value_breaks_the_door(value, name):
    with contextlib.suppress(BadPlan):
        check(parse({**GOOD, name: value}), RULES)


@given(some.from_regex(r"/[a-z./]{0,40}", fullmatch=True))
def test_a_place_is_always_below_something_known(path):
    try:
        root, rest = place(path, RULES)
    except BadPlan:
        return
    assert root in (*RULES.roots, "/")
    assert not rest.startswith("/") or "//" in path
