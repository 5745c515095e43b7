"""Which versions of the programs understand each other, for the minutes of an upgrade in which an old one meets a new one.

Each socket between programs speaks a language with a number, raised when who serves it could not make sense any more of what an
older program asks. Who asks says its number first (`hello`); who serves takes `oldest` to `newest` and refuses others in one
sentence. So the programs that are asked are replaced before those that ask (systemd/install), and must know the language of the
version before. What is only added, with a default on both sides, needs no new number. A router that is refused goes on with the last
table that it could read; each of these carries a number of its own beside. Rejected: one number for all of dynod, which would refuse
what goes well.
"""

from dataclasses import dataclass
from typing import Any

VERSION = "0.1.0"


@dataclass(frozen=True, slots=True)
class Language:
    """`server` and `unit` name who serves it."""

    server: str
    unit: str
    newest: int = 1
    oldest: int = 1

    def hello(self) -> dict[str, Any]:
        """What is said first by who asks."""
        return {"language": self.newest, "version": VERSION}

    def refusal(self, said: Any) -> str:
        """Why an asker that said this is not understood; '' if it is."""
        asker = said if isinstance(said, dict) else {}
        number = asker.get("language")
        if isinstance(number, int) and self.oldest <= number <= self.newest:
            return ""
        known = str(self.newest) if self.oldest == self.newest else f"{self.oldest} to {self.newest}"
        return (
            f"cannot understand dynod {asker.get('version')}, which speaks language {number} to the {self.server}: "
            f"this one is of dynod {VERSION} and knows {known}; systemctl restart {self.unit} brings what is installed"
        )


HOST = Language("dyno host", "dyno-host")
NET = Language("network helper", "dyno-net")
LOGPLEX = Language("logplex", "dyno-logplex")
ROUTES = Language("control plane", "dynod")
