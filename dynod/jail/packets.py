"""One JSON object per packet on a SOCK_SEQPACKET socket, descriptors beside it: how the dyno host speaks, inside and out."""

import array
import contextlib
import json
import mmap
import os
import socket
from collections.abc import Sequence
from typing import Any

PACKET = 1024 * 1024
DESCRIPTORS = 253  # SCM_MAX_FD
_ANCILLARY = socket.CMSG_SPACE(DESCRIPTORS * 4)
# Zeroes of the kernel's, which cost nothing until a packet lies on them; a bytearray would have a mebibyte written.
_room = mmap.mmap(-1, PACKET, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)

SO_SNDBUFFORCE = 32
SO_RCVBUFFORCE = 33


class Hung(ConnectionError):
    """The other side is gone."""


def widen(sock: socket.socket) -> None:
    """Let packets of a mebibyte pass; beyond the machine's limit only root may."""
    for forced, asked in ((SO_SNDBUFFORCE, socket.SO_SNDBUF), (SO_RCVBUFFORCE, socket.SO_RCVBUF)):
        try:
            sock.setsockopt(socket.SOL_SOCKET, forced, 2 * PACKET)
        except PermissionError:
            sock.setsockopt(socket.SOL_SOCKET, asked, 2 * PACKET)


def pair() -> tuple[socket.socket, socket.socket]:
    """Two ends, both wide."""
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in ends:
        widen(end)
    return ends


def send(sock: socket.socket, value: Any, fds: Sequence[int] = ()) -> None:
    """Send one packet whole; raise BlockingIOError if it does not fit now, Hung if nobody reads."""
    data = json.dumps(value, separators=(",", ":")).encode()
    try:
        if fds:
            socket.send_fds(sock, [data], list(fds))
        else:
            sock.send(data)
    except (BrokenPipeError, ConnectionResetError, ConnectionRefusedError) as error:
        raise Hung(str(error)) from error


def receive(sock: socket.socket) -> tuple[Any, list[int]]:
    """Take one packet and its descriptors (close-on-exec); raise Hung at the end, ValueError for what is no JSON."""
    fds = array.array("i")
    try:
        size, ancillary, flags, _ = sock.recvmsg_into([_room], _ANCILLARY, socket.MSG_CMSG_CLOEXEC)
    except ConnectionResetError as error:
        raise Hung(str(error)) from error
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
    try:
        if size == 0:
            raise Hung("the other side hung up")
        if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
            raise ValueError(f"a packet is larger than {PACKET} bytes or {DESCRIPTORS} descriptors")
        return json.loads(_room[:size]), list(fds)
    except (ConnectionError, ValueError):
        close(fds)
        raise


def close(fds: Sequence[int]) -> None:
    """Close each; one that is closed already is no matter."""
    for fd in fds:
        with contextlib.suppress(OSError):
            os.close(fd)
