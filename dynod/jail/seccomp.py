"""The filter that stands between a dyno and the kernel: calls.py's table, as a program for the kernel's classic BPF.

`here()` makes it once, in the host, before anything is forked; `install` puts it in force in a dyno's init and in a
joiner, as the last thing before the app. It is a search tree over the spans of equal verdict, as libseccomp's
`optimize=2`: the kernel runs it over every number when it is installed, and remembers the plain yes (5.11 and later), so
that only calls with conditions and refused ones are run through it again.

Rejected: libseccomp by a binding, which is one more package to have at run time for two pages of code. It is the second
opinion of the tests instead.
"""

import functools
import platform
import struct
from collections.abc import Sequence

from dynod.jail import syscalls as k
from dynod.jail.calls import ABSENT, ALLOWED, CONDITIONAL, MACHINES, numbers

LOAD, JUMP_EQUAL, JUMP_FROM, JUMP_BITS, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
# Where they lie; of the first argument the low half, which is all that counts.
NUMBER, ARCHITECTURE, ARGUMENT = (
    0,
    4,
    16,
)
AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

YES, KILL = 0x7FFF0000, 0x80000000
NO, UNKNOWN = 0x00050000 | 1, 0x00050000 | 38  # EPERM, ENOSYS

NEW_NAMESPACES = 0x7E020000  # all of clone's flags that make one
FAMILIES_REFUSED = (38, 40)  # AF_ALG: the kernel's ciphers; AF_VSOCK: the machine's hypervisor
PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)  # Linux, 32-bit, UNAME26, both; and to ask which

Instruction = tuple[int, int, int, int]  # code, jump if true, jump if false, operand
Program = Sequence[Instruction]


def _answer(verdict: int) -> Program:
    return [(RETURN, 0, 0, verdict)]


def _one_of(values: Sequence[int], then: int, otherwise: int) -> Program:
    """Answer `then` if the first argument is one of `values`."""
    tests = [(JUMP_EQUAL, len(values) - place, 0, value) for place, value in enumerate(values)]
    return [(LOAD, 0, 0, ARGUMENT), *tests, *_answer(otherwise), *_answer(then)]


CONDITIONS: dict[str, Program] = {
    "clone": [
        (LOAD, 0, 0, ARGUMENT),
        (JUMP_BITS, 0, 1, NEW_NAMESPACES),
        (RETURN, 0, 0, NO),
        (RETURN, 0, 0, YES),
    ],
    "socket": _one_of(FAMILIES_REFUSED, NO, YES),
    "personality": _one_of(PERSONALITIES, YES, NO),
}


def program(machine: str) -> bytes:
    """Assemble the filter for a machine; raise OSError if there is no table for it."""
    if machine not in MACHINES:
        raise OSError(
            38, f"no table of system calls for {machine} (there is for {' and '.join(MACHINES)})", "seccomp"
        )
    whole = [
        (LOAD, 0, 0, ARCHITECTURE),
        (JUMP_EQUAL, 1, 0, AUDIT[machine]),
        # Another architecture's calls have other numbers: a 32-bit program ends at its first.
        *_answer(KILL),
        (LOAD, 0, 0, NUMBER),
        *_tree(_spans(machine)),
    ]
    return b"".join(struct.pack("HBBI", *instruction) for instruction in whole)


def _spans(machine: str) -> list[tuple[int, Program]]:
    """Where another verdict begins, and which, in order of numbers. The x32 calls of x86_64 are beyond the last."""
    verdicts = {number: _answer(YES) for number in numbers(ALLOWED, machine).values()}
    verdicts |= {number: CONDITIONS[name] for name, number in numbers(CONDITIONAL, machine).items()}
    verdicts |= {number: _answer(UNKNOWN) for number in numbers(ABSENT, machine).values()}
    last = max(verdicts)
    spans: list[tuple[int, Program]] = []
    for number in range(last + 2):
        verdict = verdicts.get(number, _answer(NO if number < last else UNKNOWN))
        if not spans or spans[-1][1] != verdict:
            spans.append((number, verdict))
    return spans


def _tree(spans: Sequence[tuple[int, Program]]) -> Program:
    if len(spans) == 1:
        return spans[0][1]
    middle = len(spans) // 2
    below, above = _tree(spans[:middle]), _tree(spans[middle:])
    return [(JUMP_FROM, len(below), 0, spans[middle][0]), *below, *above]


@functools.cache
def here() -> k.Filter:
    """Give this machine's filter, ready to be installed."""
    return k.Filter(program(platform.machine()))


def install() -> None:
    """Put it in force for this process, its threads to come and all that descends from it, for good."""
    here().install()
