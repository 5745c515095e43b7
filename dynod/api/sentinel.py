r"""Keep the CLI's exit-status line in one piece (CLI.md 4.1).

`heroku run -x` appends `; echo "\uFFFF heroku-command-exit-status: $?"` and looks for the whole line in one read. So from U+FFFF to
the newline bytes are held back as long as they can still become that line. A shell that ends before the echo (`exit 7`, `exec`, a kill)
never writes it, and the CLI dies with a traceback of its own; so who asked for a status and had none is told it by us. Pure.
"""

MARK = "\uffff".encode()
NAME = "heroku-command-exit-status: "
_WORDS = MARK + b" " + NAME.encode()
_MOST = len(_WORDS) + 12


def _possible(held: bytes) -> bool:
    if len(held) <= len(_WORDS):
        return _WORDS.startswith(held)
    return held.startswith(_WORDS) and len(held) <= _MOST and held[len(_WORDS) :].rstrip(b"\r").isdigit()


def _is_status(line: bytes) -> bool:
    return line.startswith(_WORDS) and line[len(_WORDS) :].rstrip(b"\r\n").isdigit()


def _mark(data: bytes) -> int:
    """Return where U+FFFF starts, or where its first bytes end the data; -1 for neither."""
    at = data.find(MARK)
    if at >= 0:
        return at
    for size in (2, 1):
        if data.endswith(MARK[:size]):
            return len(data) - size
    return -1


class Sentinel:
    """Feed it output, send each piece that comes back as a record of its own. `owed`: the client asked for the exit status and was not told yet."""

    def __init__(self, command: str = "") -> None:
        self._held = b""
        self.owed = NAME in command

    def feed(self, data: bytes) -> list[bytes]:
        """Return what may go out now."""
        pieces: list[bytes] = []
        rest = self._held + data
        self._held = b""
        while rest:
            at = _mark(rest)
            if at < 0:
                pieces.append(rest)
                break
            if at > 0:
                pieces.append(rest[:at])
                rest = rest[at:]
            end = rest.find(b"\n")
            line = rest if end < 0 else rest[: end + 1]
            if end < 0 and _possible(rest):
                self._held = rest
                break
            if end < 0 or not _possible(line[:-1]):
                line = rest[: len(MARK)]  # some other U+FFFF: let it go and look on behind it
            self.owed = self.owed and not _is_status(line)
            pieces.append(line)
            rest = rest[len(line) :]
        return pieces

    def flush(self) -> list[bytes]:
        """Return what is still held, once the output has ended."""
        held, self._held = self._held, b""
        self.owed = self.owed and not _is_status(held)
        return [held] if held else []

    @staticmethod
    def told(status: int) -> bytes:
        """Write the line that the shell did not; the CLI takes all of it away if it comes by itself, without an end."""
        return _WORDS + str(status).encode()


class Raw:
    """The same for output that is nobody's terminal: what comes goes."""

    owed = False

    def feed(self, data: bytes) -> list[bytes]:
        return [data]

    def flush(self) -> list[bytes]:
        return []
