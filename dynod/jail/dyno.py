"""One dyno as the host holds it, and a boot as it was asked for."""

import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dynod.jail.pool import Embryo
from dynod.jail.records import Ended, Record
from dynod.model.jail import JailPlan

Answer = Callable[[Mapping[str, Any], list[int]], None]
KILLED = 128 + signal.SIGKILL


@dataclass(frozen=True, slots=True)
class Asked:
    """A boot that was asked for. `said`: the plan as it came; `stdio`: the dyno's ends of the asker's pipes, ours to close."""

    plan: JailPlan
    said: Mapping[str, Any]
    stdio: Sequence[int]
    answer: Answer


@dataclass(slots=True)
class Dyno:
    """A dyno whose plan was passed on. `answer` is set until it is up; `ended` once it is not."""

    record: Record
    pidfd: int
    embryo: Embryo | None = None
    answer: Answer | None = None
    handed_out: tuple[int, ...] = ()  # the caller's ends, until it got them
    log: int | None = None
    ended: Ended | None = None
    swept: bool = False
    asleep: bool = False  # whether it is to be frozen, which takes its time
    fault: str = ""  # what was told of its disk
    forgotten: list[Answer] = field(default_factory=list)  # who waits until nothing of it is left
