"""Bytes to lines, pure. Owns where a line ends, how long it may be and what may stand in it; knows no files and no apps."""

import re

from dynod.model.log import LINE_BYTES

# Tabs and escape sequences (colours) reach the terminal as on Heroku. Everything else that moves a cursor, rings a bell or
# ends a line for some reader (NUL, VT, FF, FS, NEL, CSI as one byte) is shown as the replacement character.
_CONTROL = re.compile("[\x00-\x08\x0a-\x1a\x1c-\x1f\x7f-\x9f]")


def harmless(text: str) -> str:
    """Replace control characters but tab and ESC."""
    return text if text.isprintable() else _CONTROL.sub("\ufffd", text)


def _cut(line: bytes | bytearray, start: int) -> int:
    """Where the piece that begins at `start` ends: after LINE_BYTES, or just before the character that lies across it."""
    end = start + LINE_BYTES
    for back in range(4):
        if line[end - back] & 0xC0 != 0x80:
            return end - back
    return end  # not UTF-8 at all


class Splitter:
    """Cuts one stream into lines; `offset` is where the stream goes on behind the last line given out.

    Where it cuts depends on the stream alone and not on how it arrives. A line ends at LF or CR LF; one of more than LINE_BYTES
    becomes several. So a second Splitter that starts at any line's offset finds the same lines.
    """

    def __init__(self, offset: int = 0) -> None:
        self.offset = offset
        self._rest = b""

    @property
    def read(self) -> int:
        """How far the stream was fed."""
        return self.offset + len(self._rest)

    def feed(self, data: bytes) -> list[tuple[str, int]]:
        """Return the lines that are complete now, each with the offset behind it."""
        *whole, rest = (self._rest + data).split(b"\n")
        lines: list[tuple[str, int]] = []
        for line in whole:
            self._line(line, 1, lines)
        start = 0
        # Two bytes more than a piece: a CR at the end may yet be half of CR LF, and then something must be left before it.
        while len(rest) - start >= LINE_BYTES + 2:
            end = _cut(rest, start)
            lines.append((_text(rest[start:end]), self.offset + end - start))
            self.offset += end - start
            start = end
        self._rest = rest[start:]
        return lines

    def end(self) -> list[tuple[str, int]]:
        """Return what is left without a line's end: nobody will write the rest."""
        lines: list[tuple[str, int]] = []
        if self._rest:
            self._line(self._rest, 0, lines)
            self._rest = b""
        return lines

    def _line(self, line: bytes, ending: int, lines: list[tuple[str, int]]) -> None:
        last = self.offset + len(line) + ending
        if line.endswith(b"\r"):
            line = line[:-1]
        start = 0
        while len(line) - start > LINE_BYTES:
            end = _cut(line, start)
            lines.append((_text(line[start:end]), self.offset + end))
            start = end
        lines.append((_text(line[start:]), last))
        self.offset = last


def _text(piece: bytes) -> str:
    return harmless(piece.decode("utf-8", "replace"))


def lines_of(text: str) -> list[str]:
    """Cut a text that came whole: at least one line, by the same rules as a stream."""
    splitter = Splitter()
    data = text.encode("utf-8", "replace")
    return [line for line, _ in (*splitter.feed(data), *splitter.end())] or [""]
