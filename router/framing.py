"""Chunked bodies, read strictly and made anew (RFC 9112 7.1). Extensions are dropped, trailers checked line by line and kept."""

import re
from enum import Enum

SIZE_LINE = 1_024
TRAILERS = 64 * 1024

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:;[\t\x20-\x7e\x80-\xff]*)?")
_TRAILER = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]{1,1000}):[\t\x20-\x7e\x80-\xff]*")
_NEVER = frozenset(
    {b"content-length", b"transfer-encoding", b"host", b"connection", b"trailer", b"te", b"upgrade"}
)


class BadChunk(Exception):
    """These bytes are no chunked body."""


class _State(Enum):
    SIZE = 1
    DATA = 2
    DATA_END = 3
    TRAILERS = 4
    DONE = 5


class Chunks:
    """Feed it bytes, take the body. After the end, `rest` is what came behind it and `trailers` their lines, each with CRLF."""

    __slots__ = ("_buffer", "_left", "_state", "rest", "trailers")

    def __init__(self) -> None:
        self._state = _State.SIZE
        self._buffer = b""
        self._left = 0
        self.trailers = b""
        self.rest = b""

    @property
    def done(self) -> bool:
        """Whether the last chunk and the trailers were read."""
        return self._state is _State.DONE

    def feed(self, data: bytes) -> bytes:
        """Return the body bytes in `data`; raise BadChunk."""
        if self._buffer:
            data = self._buffer + data
            self._buffer = b""
        pieces = []
        at = 0
        while self._state is not _State.DONE:
            if self._state is _State.DATA:
                piece = data[at : at + self._left]
                pieces.append(piece)
                at += len(piece)
                self._left -= len(piece)
                if self._left:
                    break
                self._state = _State.DATA_END
            end = data.find(b"\r\n", at)
            if end == -1:
                self._keep(data[at:])
                break
            self._line(data[at:end])
            at = end + 2
        else:
            self.rest = data[at:]
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _keep(self, part: bytes) -> None:
        most = TRAILERS if self._state is _State.TRAILERS else SIZE_LINE
        if len(part) > most or b"\n" in part or b"\r" in part[:-1]:
            raise BadChunk("a line that does not end")
        if self._state is _State.DATA_END and part not in {b"", b"\r"}:
            raise BadChunk("more data than the chunk's size")
        self._buffer = part

    def _line(self, line: bytes) -> None:
        match self._state:
            case _State.DATA_END:
                if line:
                    raise BadChunk("more data than the chunk's size")
                self._state = _State.SIZE
            case _State.SIZE:
                found = _SIZE.fullmatch(line)
                if found is None or len(line) > SIZE_LINE:
                    raise BadChunk("a bad chunk size")
                self._left = int(found[1], 16)
                self._state = _State.DATA if self._left else _State.TRAILERS
            case _:
                if not line:
                    self._state = _State.DONE
                    return
                found = _TRAILER.fullmatch(line)
                if found is None or len(self.trailers) + len(line) > TRAILERS:
                    raise BadChunk("a bad trailer")
                if found[1].lower() not in _NEVER:
                    self.trailers += line + b"\r\n"


def chunk(body: bytes) -> bytes:
    """Wrap body bytes as one chunk; nothing for none, since an empty chunk would be the last."""
    return b"%x\r\n%b\r\n" % (len(body), body) if body else b""


def last_chunk(trailers: bytes) -> bytes:
    """End a chunked body."""
    return b"0\r\n" + trailers + b"\r\n"
