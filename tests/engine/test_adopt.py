"""Meeting the dyno host: what is asked of whom, when some of what the records name is gone (the machine lost its power)."""

import asyncio
from dataclasses import replace
from types import SimpleNamespace

from dynod.core.effects import Boot, WatchPort
from dynod.core.lifecycle import Phase
from dynod.engine.adopt import adopt
from dynod.engine.app_loop import Adopt
from tests.core.test_reconcile import World


def meet(fleet, live=()):
    """Let one app's fleet meet a host on which `live` runs; return what its loop was told."""
    told = []
    loop = SimpleNamespace(app="a1", fleet=fleet, post=told.append)
    house = SimpleNamespace(
        loops=lambda: [loop],
        waits={},
        launching=set(),
        sessions={},
        plans={},
        tasks=SimpleNamespace(spawn=lambda _: None),
        machine=SimpleNamespace(sweep_networks=lambda _: None),
    )
    asyncio.run(adopt(house, live))
    return told


def in_phase(world, phase):
    fleet = world.fleet
    return replace(fleet, dynos={id: replace(dyno, phase=phase) for id, dyno in fleet.dynos.items()})


def test_nothing_is_asked_of_dynos_that_are_gone_whatever_they_were_about():
    world = World().reconcile()
    for phase in (Phase.STARTING, Phase.STOPPING, Phase.FAILING, Phase.FROZEN):
        (adopted,) = [each for each in meet(in_phase(world, phase)) if isinstance(each, Adopt)]
        assert adopted.effects == ()
        assert set(adopted.lost) == set(world.fleet.dynos)


def test_after_a_power_cut_during_a_start_the_dyno_is_booted_anew():
    """In the step that takes the lost ones out no effect names them: one that did would keep the boots behind it from happening."""
    world = World().reconcile()
    fleet = in_phase(world, Phase.STARTING)
    (adopted,) = [each for each in meet(fleet) if isinstance(each, Adopt)]
    from dynod.core import reconcile as fleets

    effects = list(adopted.effects)
    for dyno in adopted.lost:
        fleet, more = fleets.lost(fleet, world.desired, dyno, world.now, world.draw)
        effects += more
    asked = [effect.dyno for effect in effects if isinstance(effect, (Boot, WatchPort))]
    assert asked
    assert set(asked) <= set(fleet.dynos)
