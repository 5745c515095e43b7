"""How a dyno ended that nobody saw off: its engine was killed between the step that ended it and its burial. Pure.

The exit status is the dyno host's word, the rest comes from what was observed while somebody looked, if that was written.
"""

from collections.abc import Mapping, Sequence

from dynod.core.effects import Died
from dynod.core.lifecycle import Dyno
from dynod.model.dyno import DynoId, DynoState, dyno_name, exit_words
from dynod.model.observation import Observation

_ENDS = {
    str(state): state for state in (DynoState.CRASHED, DynoState.DOWN, DynoState.COMPLETE, DynoState.IDLE)
}


def ended_unseen(
    id: DynoId,
    name: str,
    status: int,
    labels: Mapping[str, str],
    dyno: Dyno | None,
    seen: Sequence[Observation],
    now: float,
) -> Died:
    """`dyno`: as the fleet has it, if it is still there; `seen`: its observations, oldest first; `now`: epoch seconds."""
    end = next((each for each in reversed(seen) if each.what in _ENDS), None)
    if end is not None:
        state, cause, at = _ENDS[end.what], end.detail, end.at
    else:
        state = DynoState.DOWN if dyno is None else dyno.shown
        cause, at = exit_words(status), now if dyno is None else dyno.entered
    release = labels.get("release", "").removeprefix("v")
    return Died(
        id,
        dyno_name(name),
        state,
        status,
        cause,
        0,
        int(release) if release.isdigit() else 0,
        "" if dyno is None else dyno.size,
        "" if dyno is None else dyno.command,
        min((each.at for each in seen), default=at),
        at,
    )
