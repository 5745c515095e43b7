"""What a dyno's cgroup had counted when it ended, beside its memory: each generation, and each kernel, as far as it counts."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Tally:
    """None is what nobody counts there. Times are in seconds.

    `cpu_throttled`: held back by a quota of time. `tasks_peak`: processes and threads; `tasks_refused`: those that were more than
    its limit. `memory_full`: how often it met its memory limit; `memory_kills`: processes that the kernel killed for memory.
    `waited_*`: while some task of its had to wait for that (the kernel's pressure).
    """

    cpu_user: float | None = None
    cpu_system: float | None = None
    cpu_throttled: float | None = None
    tasks_peak: int | None = None
    tasks_refused: int | None = None
    memory_full: int | None = None
    memory_kills: int | None = None
    waited_cpu: float | None = None
    waited_memory: float | None = None
    waited_io: float | None = None

    def to_json(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote, in whichever version: what is not known here is left out."""
        return cls(**{field.name: value[field.name] for field in fields(cls) if field.name in value})


UNCOUNTED = Tally()
