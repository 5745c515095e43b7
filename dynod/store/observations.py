"""What happened to dynos: STATE/observations.db. Survives a killed daemon, not a power cut."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Observation:
    """`what` is a word (`up`, `crashed`, `cycled`, `memory`), `detail` free text, `at` epoch seconds."""

    dyno: str
    name: str
    app: str
    what: str
    at: float
    detail: str = ""


class Observations:
    @classmethod
    async def open(cls, state: str, keep: int = 100_000) -> Self:
        raise NotImplementedError

    async def note(self, observations: Sequence[Observation]) -> None:
        raise NotImplementedError

    async def history(self, app: str, limit: int = 100) -> Sequence[Observation]:
        """The newest `limit` of an app, oldest first."""
        raise NotImplementedError

    async def put_dyno(self, dyno: str, record: bytes) -> None:
        raise NotImplementedError

    async def delete_dyno(self, dyno: str) -> None:
        raise NotImplementedError

    async def dynos(self) -> Mapping[str, bytes]:
        raise NotImplementedError

    async def close(self) -> None:
        raise NotImplementedError
