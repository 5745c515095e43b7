"""What a plan says of its limits, to people and over a wire."""

import pytest

from dynod.model.jail import Ceiling, JailPlan, Limits, Stdio


def plan(limits):
    return JailPlan("d", "d", 1, (("/s", True),), (), "/x", "", limits, ("true",), {}, "/", Stdio.LOG, {})


def test_a_plan_comes_back_as_it_was_sent():
    sent = plan(Limits(1024, 2, 3, disk=4096, inodes=5, ceiling=Ceiling.QUOTA))
    assert JailPlan.from_json(sent.to_json()) == sent


def test_a_control_plane_that_says_nothing_of_disks_asks_for_no_ceiling():
    old = plan(Limits(1024, 2, 3)).to_json()
    for name in ("disk", "inodes", "ceiling"):
        del old["limits"][name]
    assert JailPlan.from_json(old).limits == Limits(1024, 2, 3)


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (Limits(8192, 2, 3), "disk: no ceiling"),
        (Limits(8192, 2, 3, disk=4096, inodes=5), "disk: 4096 bytes and 5 files for all it writes (auto)"),
        (Limits(8192, 2, 3), "/dev/shm: 4096 bytes, counted as memory"),
    ],
)
def test_a_plan_tells_what_may_be_written(limits, words):
    assert words in plan(limits).describe()
