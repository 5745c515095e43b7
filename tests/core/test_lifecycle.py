"""One dyno's life: the table of transitions and the lines that Heroku prints for each."""

from dataclasses import replace

import pytest

from dynod.core.effects import Boot, Died, Ended, Note, Reap, Say, Signal, WatchPort
from dynod.core.events import (
    DeadlinePassed,
    Exited,
    FreezeAsked,
    HungUp,
    Launched,
    LaunchFailed,
    MemoryVastlyExceeded,
    PortBound,
    SleepAsked,
    StopAsked,
    ThawAsked,
)
from dynod.core.lifecycle import TRANSITIONS, Dyno, IllegalEvent, Kind, Now, Phase, begin, step
from dynod.model.app import AppId
from dynod.model.dyno import DynoId, DynoState, Exit, dyno_name, exit_words
from dynod.model.formation import MIB
from dynod.model.tally import Tally

NOW = Now(mono=1000.0, wall=5000.0)


def dyno(name="web.1", phase=Phase.LAUNCHING, **more):
    kind = Kind.FORMATION if name.split(".")[0] in {"web", "worker"} else Kind.ONE_OFF
    shown = {Phase.UP: DynoState.UP, Phase.STOPPING: DynoState.UP}.get(phase, DynoState.STARTING)
    base = Dyno(
        id=DynoId("d1"),
        app=AppId("a1"),
        name=dyno_name(name),
        kind=kind,
        release="r1",
        version=3,
        size="Standard-1X",
        command="run me",
        port=5000,
        created=1.0,
        entered=1.0,
        launched=900.0,
        cycle=90_000.0,
        phase=phase,
        shown=shown,
    )
    return replace(base, **more)


def texts(effects):
    return [effect.text for effect in effects if isinstance(effect, Say)]


EVENTS = {
    Launched: Launched("10.0.0.2"),
    LaunchFailed: LaunchFailed("cannot start web.1: no"),
    PortBound: PortBound(),
    Exited: Exited(Exit(1)),
    MemoryVastlyExceeded: MemoryVastlyExceeded(1 << 31),
    StopAsked: StopAsked("scale"),
    HungUp: HungUp(),
    DeadlinePassed: DeadlinePassed(),
    SleepAsked: SleepAsked("quiet"),
    FreezeAsked: FreezeAsked("quiet"),
    ThawAsked: ThawAsked("a request"),
}


@pytest.mark.parametrize("phase", list(Phase))
@pytest.mark.parametrize("kind", list(EVENTS))
def test_every_pair_is_in_the_table_or_refused(phase, kind):
    """The table says which phase follows; what is not in it raises and changes nothing."""
    before = dyno(phase=phase)
    if (phase, kind) not in TRANSITIONS:
        with pytest.raises(IllegalEvent):
            step(before, EVENTS[kind], NOW)
        return
    after, _ = step(before, EVENTS[kind], NOW)
    assert after.phase is TRANSITIONS[phase, kind]


def test_a_new_dyno_says_its_command_then_boots():
    effects = begin(dyno(said="run me 5000"), "release v3")
    assert texts(effects) == ["Starting process with command `run me 5000`"]
    assert effects[-1] == Boot(DynoId("d1"))


def test_an_attached_one_off_waits_for_its_client_first():
    assert texts(begin(dyno("run.1234", attached=True), "run"))[0] == "Awaiting client"


def test_web_waits_for_its_port_for_sixty_seconds():
    after, effects = step(dyno(), Launched("10.0.0.2"), NOW)
    assert (after.phase, after.deadline, after.address) == (Phase.STARTING, 1060.0, "10.0.0.2")
    assert effects == (WatchPort(DynoId("d1")),)


def test_a_worker_is_up_at_once():
    after, effects = step(dyno("worker.1"), Launched("10.0.0.2"), NOW)
    assert after.shown is DynoState.UP
    assert texts(effects) == ["State changed from starting to up"]


def test_r10_kills_a_web_dyno_that_does_not_bind():
    failing, effects = step(dyno(phase=Phase.STARTING), DeadlinePassed(), NOW)
    assert texts(effects) == [
        "Error R10 (Boot timeout) -> Web process failed to bind to $PORT within 60 seconds of launch",
        "Stopping process with SIGKILL",
    ]
    assert effects[-1] == Signal(DynoId("d1"), 9)
    crashed, effects = step(failing, Exited(Exit(137)), NOW)
    assert crashed.shown is DynoState.CRASHED
    assert texts(effects) == ["Process exited with status 137", "State changed from starting to crashed"]
    assert Reap(DynoId("d1")) in effects


def test_scaling_away_is_sigterm_then_down():
    stopping, effects = step(dyno(phase=Phase.UP), StopAsked("scale"), NOW)
    assert stopping.deadline == 1030.0
    assert texts(effects) == ["Stopping all processes with SIGTERM"]
    assert Signal(DynoId("d1"), 15) in effects
    down, effects = step(stopping, Exited(Exit(143)), NOW)
    assert down.shown is DynoState.DOWN
    assert texts(effects) == ["Process exited with status 143", "State changed from up to down"]


def test_r12_kills_what_does_not_stop_in_thirty_seconds():
    stopping, _ = step(dyno(phase=Phase.UP), StopAsked("scale"), NOW)
    killed, effects = step(stopping, DeadlinePassed(), Now(1030.0, 5030.0))
    assert texts(effects) == [
        "Error R12 (Exit timeout) -> At least one process failed to exit within 30 seconds of SIGTERM",
        "Stopping remaining processes with SIGKILL",
    ]
    assert (killed.deadline, killed.killed) == (None, True)
    assert effects[-1] == Signal(DynoId("d1"), 9)


def test_a_replaced_dyno_ends_without_a_state_line():
    stopping, _ = step(dyno(phase=Phase.UP), StopAsked("release", replaced=True), NOW)
    _, effects = step(stopping, Exited(Exit(143)), NOW)
    assert texts(effects) == ["Process exited with status 143"]


def test_a_second_stop_only_remembers_that_it_is_replaced():
    stopping, _ = step(dyno(phase=Phase.UP), StopAsked("scale"), NOW)
    again, effects = step(stopping, StopAsked("scale up", replaced=True), Now(1010.0, 5010.0))
    assert again.replaced
    assert again.deadline == 1030.0
    assert effects == ()


def test_stopping_during_launch_sends_the_signal_once_there_is_somebody():
    stopping, effects = step(dyno(), StopAsked("scale"), NOW)
    assert stopping.deadline is None
    assert [type(each) for each in effects] == [Note]
    there, effects = step(stopping, Launched("10.0.0.2"), Now(1001.0, 5001.0))
    assert there.deadline == 1031.0
    assert texts(effects) == ["Stopping all processes with SIGTERM"]
    assert effects[1:] == (Signal(DynoId("d1"), 15),)


def test_a_port_that_binds_too_late_changes_nothing():
    stopping = dyno(phase=Phase.STOPPING)
    assert step(stopping, PortBound(), NOW) == (stopping, ())


def test_a_failing_dyno_cannot_be_stopped_more():
    failing = dyno(phase=Phase.FAILING)
    assert step(failing, StopAsked("scale"), NOW) == (failing, ())


def test_a_one_off_is_complete_whatever_its_status():
    after, effects = step(dyno("run.1234", Phase.UP), Exited(Exit(3)), NOW)
    assert after.shown is DynoState.COMPLETE
    assert texts(effects) == ["Process exited with status 3", "State changed from up to complete"]
    assert effects[-1] == Ended(DynoId("d1"), 3)


def test_a_time_to_live_ends_in_sigterm():
    up, _ = step(dyno("run.1234", ttl=60.0), Launched("10.0.0.2"), NOW)
    assert up.deadline == 1060.0
    over, effects = step(up, DeadlinePassed(), Now(1060.0, 5060.0))
    assert over.phase is Phase.STOPPING
    assert Signal(DynoId("d1"), 15) in effects


CLOSED = "Client connection closed. Sending SIGHUP to all processes"
R13 = "Error R13 (Attach error) -> Failed to attach to process"
R16 = "Error R16 (Detached) -> An attached process is not responding to SIGHUP after its external connection was closed."
HANGUPS = {
    "heeded": ({}, [HungUp()], [[CLOSED]], 1005.0),
    "nobody came": ({}, [HungUp(unclaimed=True)], [[R13]], 1005.0),
    "gone twice": ({}, [HungUp(), HungUp()], [[CLOSED], []], 1005.0),
    "not heeded": ({}, [HungUp(), *[DeadlinePassed()] * 3], [[CLOSED], [CLOSED], [CLOSED], [R16]], None),
    "nor when nobody came": (
        {},
        [HungUp(unclaimed=True), *[DeadlinePassed()] * 3],
        [[R13], [CLOSED], [CLOSED], [R16]],
        None,
    ),
    "with a later end": (
        {"ttl": 500.0, "launched": 990.0},
        [HungUp(), *[DeadlinePassed()] * 3],
        [[CLOSED], [CLOSED], [CLOSED], [R16]],
        1490.0,
    ),
    "with an end before": (
        {"ttl": 17.0, "launched": 990.0},
        [HungUp(), *[DeadlinePassed()] * 2],
        [[CLOSED], [CLOSED], ["Stopping all processes with SIGTERM"]],
        1037.0,
    ),
}


@pytest.mark.parametrize(("more", "events", "said", "deadline"), HANGUPS.values(), ids=HANGUPS.keys())
def test_a_client_that_hangs_up_is_sighup_thrice_and_no_more(more, events, said, deadline):
    one, now, heard, signals = dyno("run.1234", Phase.UP, attached=True, **more), NOW, [], []
    for event in events:
        if isinstance(event, DeadlinePassed):
            now = Now(one.deadline, NOW.wall)
        one, effects = step(one, event, now)
        heard.append(texts(effects))
        signals += [effect.signal for effect in effects if isinstance(effect, Signal)]
    assert (heard, one.deadline) == (said, deadline)
    assert signals[: one.hangups] == [1] * one.hangups
    assert signals[one.hangups :] in ([], [15])
    assert one.attached is not (said[-1] == [R16])


def test_a_detached_process_can_still_be_stopped():
    left = dyno("run.1234", Phase.UP, hangups=3)
    stopping, effects = step(left, StopAsked("stopped by a@b"), NOW)
    assert (stopping.phase, stopping.deadline) == (Phase.STOPPING, 1030.0)
    assert Signal(DynoId("d1"), 15) in effects


def test_a_client_that_goes_before_the_launch_stops_it():
    stopping, effects = step(dyno("run.1234", attached=True), HungUp(unclaimed=True), NOW)
    assert (stopping.phase, texts(effects)) == (Phase.STOPPING, [R13])
    _, effects = step(stopping, Launched("10.0.0.2"), NOW)
    assert texts(effects) == ["Stopping all processes with SIGTERM"]
    assert effects[1:] == (Signal(DynoId("d1"), 15),)


def test_a_failed_launch_says_why_and_is_a_crash():
    after, effects = step(dyno(), LaunchFailed("cannot start web.1: no uid is free"), NOW)
    assert after.shown is DynoState.CRASHED
    assert texts(effects) == ["cannot start web.1: no uid is free", "State changed from starting to crashed"]


R15 = [
    "Process running mem=1029M(201.0%)",
    "Error R15 (Memory quota vastly exceeded)",
    "Stopping process with SIGKILL",
]
OVER = int(1029.12 * MIB)


@pytest.mark.parametrize("phase", [Phase.STARTING, Phase.UP])
def test_r15_kills_at_twice_the_quota_and_is_a_crash(phase):
    failing, effects = step(dyno(phase=phase), MemoryVastlyExceeded(OVER), NOW)
    assert texts(effects) == R15
    assert effects[-1] == Signal(DynoId("d1"), 9)
    assert (failing.phase, failing.killed, failing.deadline) == (Phase.FAILING, True, None)
    crashed, effects = step(failing, Exited(Exit(137), oom=True, peak=OVER), NOW)
    assert crashed.shown is DynoState.CRASHED
    assert texts(effects)[0] == "Process exited with status 137"
    (note,) = [each for each in effects if isinstance(each, Note)]
    assert note.detail == ("R15: it had 1029M of memory with a quota of 512M; ended by SIGKILL (status 137)")


def test_what_goes_anyway_is_not_killed_for_its_memory():
    for phase in (Phase.STOPPING, Phase.FAILING):
        assert step(dyno(phase=phase), MemoryVastlyExceeded(OVER), NOW) == (dyno(phase=phase), ())


def test_a_kill_of_the_kernels_at_the_ceiling_is_told_as_r15():
    _, effects = step(dyno(phase=Phase.UP), Exited(Exit(137), oom=True, peak=OVER), NOW)
    assert texts(effects) == [*R15, "Process exited with status 137", "State changed from up to crashed"]


def test_a_machine_without_memory_is_not_the_dynos_fault():
    _, effects = step(dyno(phase=Phase.UP), Exited(Exit(137), oom=True, peak=100 * MIB), NOW)
    assert texts(effects)[0] == "The machine ran out of memory and the kernel killed the dyno"


def test_a_kill_of_a_size_that_is_no_more_is_not_called_r15():
    before = replace(dyno(phase=Phase.UP), size="was-in-dynod-toml")
    crashed, effects = step(before, Exited(Exit(137), oom=True, peak=OVER), NOW)
    assert not any("R15" in text for text in texts(effects))
    assert crashed.shown is DynoState.CRASHED


def test_a_dyno_that_was_stopped_is_not_told_of_a_kill_it_survived():
    _, effects = step(dyno(phase=Phase.STOPPING), Exited(Exit(143), oom=True, peak=OVER), NOW)
    assert texts(effects) == ["Process exited with status 143", "State changed from up to down"]


def test_how_a_dyno_died_is_told_before_it_is_reaped():
    _, effects = step(dyno(phase=Phase.UP), Exited(Exit(1), peak=7, tally=Tally(tasks_peak=9)), NOW)
    (died,) = [each for each in effects if isinstance(each, Died)]
    assert (died.dyno, died.state, died.status, died.peak, died.at) == ("d1", DynoState.CRASHED, 1, 7, 5000.0)
    assert (died.cause, died.tally) == ("exited with status 1", Tally(tasks_peak=9))
    assert effects.index(died) < effects.index(Reap(DynoId("d1")))


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (0, "exited with status 0"),
        (127, "exited with status 127: its command was not found"),
        (143, "ended by SIGTERM (status 143)"),
        (139, "ended by SIGSEGV (status 139)"),
        (255, "exited with status 255"),
    ],
)
def test_an_exit_in_words(status, words):
    assert exit_words(status) == words
