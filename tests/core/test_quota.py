"""Memory against quota: Heroku's rules for R14 and R15, its texts, and the lines of log-runtime-metrics."""

import pytest

from dynod.core.quota import (
    CADENCE,
    Finding,
    Load,
    Reading,
    Watched,
    ceiling,
    load_after,
    look,
    samples,
    vast,
)
from dynod.model.formation import MIB, SIZES

QUOTA = 512 * MIB


def reading(rss=0, cache=0, swap=0, **more):
    return Reading(int(rss * MIB), int(cache * MIB), int(swap * MIB), **more)


def test_within_its_quota_a_dyno_is_left_alone_until_the_kernel_says_otherwise():
    for each in (reading(512), reading(500, cache=12), reading()):
        assert look(Watched(QUOTA), each, 100.0) == (Watched(QUOTA), Finding())


@pytest.mark.parametrize("each", [reading(870.9), reading(400, cache=470.9), reading(400, swap=470.9)])
def test_r14_counts_everything_and_says_herokus_words(each):
    after, found = look(Watched(QUOTA), each, 100.0)
    assert found.lines == ("Process running mem=870M(170.1%)", "Error R14 (Memory quota exceeded)")
    assert (found.vast, found.again, after.warned) == (0, 100.0 + CADENCE, 100.0)


def test_r14_comes_every_twenty_seconds_and_not_in_between():
    watched, said, now = Watched(QUOTA), [], 100.0
    for _ in range(4):
        watched, found = look(watched, reading(600), now)
        said += [now] * bool(found.lines)
        for early in (3.0, 11.0):  # an event in between
            same, quiet = look(watched, reading(600), now + early)
            assert (same, quiet.lines, quiet.again) == (watched, (), found.again)
        now = found.again
    assert said == [100.0, 120.0, 140.0, 160.0]


def test_who_swings_around_the_quota_is_warned_no_more_often():
    watched, _ = look(Watched(QUOTA), reading(600), 100.0)
    watched, found = look(watched, reading(400), 105.0)
    assert found == Finding()
    assert look(watched, reading(600), 106.0)[1].lines == ()
    assert look(watched, reading(600), 121.0)[1].lines != ()


def test_what_only_the_kernel_counts_is_no_r14_but_is_looked_at_again_ever_less_often():
    watched, now, waits = Watched(QUOTA), 100.0, []
    for _ in range(7):
        watched, found = look(watched, reading(511, used=513 * MIB), now)
        assert found.lines == ()
        waits.append(found.again - now)
    assert waits == [1, 2, 4, 8, 16, 20, 20]
    watched, found = look(watched, reading(511, used=512 * MIB), now)
    assert (watched.wait, found.again) == (0.0, None)


@pytest.mark.parametrize("each", [reading(1024), reading(1000, swap=24), reading(1030, cache=40)])
def test_r15_is_twice_the_quota(each):
    assert look(Watched(QUOTA), each, 100.0)[1] == Finding(vast=each.held)


def test_page_cache_is_never_r15():
    found = look(Watched(QUOTA), reading(100, cache=980), 100.0)[1]
    assert found.vast == 0
    assert found.lines[1] == "Error R14 (Memory quota exceeded)"


def test_a_peak_of_page_cache_long_ago_is_nothing():
    assert look(Watched(QUOTA), reading(100, peak=1080 * MIB), 100.0)[1] == Finding()


def test_close_to_r15_it_looks_every_second():
    assert look(Watched(QUOTA), reading(900), 100.0)[1].again == 101.0
    assert look(Watched(QUOTA), reading(100, cache=900), 100.0)[1].again == 120.0


def test_a_process_that_the_kernel_killed_at_the_ceiling_is_r15_with_the_peak():
    killed = reading(40, peak=1088 * MIB, kills=1)
    assert look(Watched(QUOTA), killed, 100.0)[1] == Finding(vast=1088 * MIB)


def test_a_process_that_the_kernel_killed_because_the_machine_was_full_is_not():
    assert look(Watched(QUOTA), reading(40, peak=300 * MIB, kills=1), 100.0)[1] == Finding()


@pytest.mark.parametrize("size", SIZES.values(), ids=lambda size: size.name)
def test_the_kernels_limit_leaves_room_to_see_r15(size):
    assert ceiling(size.memory) >= vast(size.memory) + 32 * MIB


def test_the_lines_of_log_runtime_metrics():
    memory = Reading(int(21.22 * MIB), 0, 0, 348836, 343403)
    load, mem = samples("web.1", "a-1", "d-1", Load(0.0, 0.01, 0.02), memory, QUOTA)
    assert load == (
        "source=web.1 dyno=heroku.a-1.d-1 sample#load_avg_1m=0.00 sample#load_avg_5m=0.01 sample#load_avg_15m=0.02"
    )
    assert mem == (
        "source=web.1 dyno=heroku.a-1.d-1 sample#memory_total=21.22MB sample#memory_rss=21.22MB "
        "sample#memory_cache=0.00MB sample#memory_swap=0.00MB sample#memory_pgpgin=348836pages "
        "sample#memory_pgpgout=343403pages sample#memory_quota=512.00MB"
    )


def test_load_nears_the_number_of_runnable_tasks_at_the_pace_of_each_average():
    load = Load()
    for _ in range(3):
        load = load_after(load, 4, 20.0)
    assert load.one == pytest.approx(4 * (1 - 1 / 2.718281828), rel=1e-6)
    assert load.one > load.five > load.fifteen > 0
    for _ in range(300):
        load = load_after(load, 4, 20.0)
    assert load.fifteen == pytest.approx(4, rel=1e-2)
