"""What `ps` shows of a process: the memory its arguments lie in is its own to write.

python-prctl's set_proctitle looks for that memory below the first variable of the environment, and writes elsewhere when this
variable was removed meanwhile, as NOTIFY_SOCKET and its like are (dynod/unit.py): the process died of it. The kernel knows the place.
"""

import ctypes
from functools import cache

_ARG_START, _ARG_END = 45, 46  # proc_pid_stat(5), fields 48 and 49, counted from the state


@cache
def place() -> tuple[int, int]:
    """Where the arguments begin and end; the same in every fork."""
    with open("/proc/self/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return int(fields[_ARG_START]), int(fields[_ARG_END])


def set_title(text: str) -> None:
    """Show `text`, or as much of it as the arguments had room for."""
    start, end = place()
    ctypes.memset(start, 0, end - start)
    data = text.encode()[: end - start - 1]
    ctypes.memmove(start, data, len(data))
