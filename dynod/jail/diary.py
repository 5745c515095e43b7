"""What the dyno host says of itself: lines on standard error, which systemd's journal or `dynod up` collects.

It never waits for who reads them: a journal that hangs must not hold up a boot. What found no room is counted and told later.
"""

import os
import select


class Diary:
    """Lines to a descriptor, each short enough that what poll(2) calls writable takes it whole (pipe(7): PIPE_BUF)."""

    def __init__(self, fd: int) -> None:
        self._fd, self._lost = fd, 0

    def say(self, text: str) -> None:
        before = f"dynod host: {self._lost} lines found no reader\n" if self._lost else ""
        room = select.poll()
        room.register(self._fd, select.POLLOUT)
        if not room.poll(0):
            self._lost += 1
            return
        os.write(self._fd, f"{before}dynod host: {text}\n".encode(errors="replace"))
        self._lost = 0


say = Diary(2).say
