"""The filter of system calls, run by an interpreter of the kernel's classic BPF, with libseccomp as second opinion."""

import ctypes
import os
import platform
import struct

import pytest

from dynod.jail import seccomp
from dynod.jail.calls import ABSENT, ALLOWED, CONDITIONAL, MACHINES, numbers

ALLOW, EPERM, ENOSYS, KILL = 0x7FFF0000, 0x50001, 0x50026, 0x80000000
BEYOND = 480  # numbers to try; the newest call known is far below
TABLES = f"{ALLOWED} {CONDITIONAL} {ABSENT}"
ARGUMENTS = {
    "clone": [0, 17, 0x3D0F00, 0x4111, *(1 << bit for bit in (7, 17, 25, 26, 27, 28, 29, 30)), 0x7E020000],
    "socket": [*range(-1, 60), 2**31],
    "personality": [0, 1, 8, 9, 0x20000, 0x20008, 0x40000, 0x400000, 0xFFFFFFFF],
}
REFUSED = """
    acct add_key bpf chroot clock_settime delete_module fanotify_init finit_module fsconfig fsmount fsopen fspick
    get_mempolicy init_module io_uring_enter io_uring_register io_uring_setup ioperm iopl kcmp kexec_file_load kexec_load
    keyctl lookup_dcookie mbind migrate_pages mount mount_setattr move_mount move_pages nfsservctl open_by_handle_at
    open_tree perf_event_open pidfd_getfd pivot_root process_madvise quotactl quotactl_fd reboot request_key
    set_mempolicy setdomainname sethostname setns settimeofday swapoff swapon sysfs syslog umount2 unshare userfaultfd
    uselib ustat vhangup
""".split()  # noqa: SIM905  # a list to be read as one


def run(program, number, argument=0, machine="x86_64"):
    """What the kernel would answer."""
    data = struct.pack(
        "=IIQ6Q", number & 0xFFFFFFFF, seccomp.AUDIT[machine], 0, argument & 2**64 - 1, *[0] * 5
    )
    code, place, value = list(struct.iter_unpack("HBBI", program)), 0, 0
    while True:
        kind, true, false, operand = code[place]
        place += 1
        match kind:
            case 0x20:  # load absolute
                (value,) = struct.unpack_from("=I", data, operand)
            case 0x54:
                value &= operand
            case 0x05:
                place += operand
            case 0x06:
                return operand
            case 0x15 | 0x25 | 0x35 | 0x45:
                held = {
                    0x15: value == operand,
                    0x25: value > operand,
                    0x35: value >= operand,
                    0x45: value & operand != 0,
                }[kind]
                place += true if held else false
            case _:
                raise AssertionError(hex(kind))


class Libseccomp:
    def __init__(self):
        self.lib = ctypes.CDLL("libseccomp.so.2", use_errno=True)
        self.lib.seccomp_init.restype = ctypes.c_void_p
        for name in ("seccomp_export_bpf", "seccomp_arch_add", "seccomp_arch_remove", "seccomp_release"):
            getattr(self.lib, name).argtypes = (ctypes.c_void_p, ctypes.c_uint32)[
                : 1 if name.endswith("release") else 2
            ]

    def number(self, name, machine):
        """The call's number, None if this machine has none or the library does not know it."""
        found = self.lib.seccomp_syscall_resolve_name_arch(seccomp.AUDIT[machine], name.encode())
        return found if found >= 0 else None

    def name(self, number, machine):
        resolve = self.lib.seccomp_syscall_resolve_num_arch
        resolve.restype = ctypes.c_char_p
        return resolve(seccomp.AUDIT[machine], number)

    def program(self, machine):
        """The same rules, as its own compiler puts them."""

        class Compare(ctypes.Structure):
            _fields_ = [
                ("arg", ctypes.c_uint),
                ("op", ctypes.c_int),
                ("a", ctypes.c_uint64),
                ("b", ctypes.c_uint64),
            ]

        lib, masked_equal, equal, less, greater = self.lib, 7, 4, 2, 6
        context = ctypes.c_void_p(lib.seccomp_init(EPERM))

        def rule(action, name, *conditions):
            add = lib.seccomp_rule_add_array
            array = (Compare * max(len(conditions), 1))(*conditions)
            # It translates for other machines itself.
            number = lib.seccomp_syscall_resolve_name(name.encode())
            assert add(context, ctypes.c_uint32(action), number, len(conditions), array) == 0, name

        native = seccomp.AUDIT[platform.machine()]
        if seccomp.AUDIT[machine] != native:
            assert lib.seccomp_arch_add(context, seccomp.AUDIT[machine]) == 0
            assert lib.seccomp_arch_remove(context, native) == 0
        for name in numbers(ALLOWED, machine):
            if self.number(name, machine) is not None:
                rule(ALLOW, name)
        rule(ENOSYS, "clone3")
        rule(ALLOW, "clone", Compare(0, masked_equal, 0x7E020000, 0))
        for condition in (Compare(0, less, 38), Compare(0, equal, 39), Compare(0, greater, 40)):
            rule(ALLOW, "socket", condition)
        for persona in (0, 8, 0x20000, 0x20008, 0xFFFFFFFF):
            rule(ALLOW, "personality", Compare(0, equal, persona))
        read, write = os.pipe()
        assert lib.seccomp_export_bpf(context, write) == 0
        os.close(write)
        with open(read, "rb") as file:
            made = file.read()
        lib.seccomp_release(context)
        return made


@pytest.fixture(scope="module")
def library():
    return Libseccomp()


@pytest.mark.parametrize("machine", MACHINES)
def test_every_number_is_the_one_that_libseccomp_knows(library, machine):
    table = numbers(TABLES, machine)
    rows = [row.split("=")[0] for row in TABLES.split() if "=" in row]
    assert len(rows) == len(set(rows))
    known = {name: library.number(name, machine) for name in rows}
    newer = {name for name in rows if all(library.number(name, one) is None for one in MACHINES)}
    assert {name: table.get(name) for name in rows if name not in newer} == {
        name: number for name, number in known.items() if name not in newer
    }
    assert all(table.get(name, 999) >= 424 for name in newer - {"uretprobe"})
    assert len(newer) < 20


@pytest.mark.parametrize("machine", MACHINES)
def test_libseccomp_makes_a_filter_of_the_same_effect(library, machine):
    ours, theirs = seccomp.program(machine), library.program(machine)
    conditional = {number: name for name, number in numbers(CONDITIONAL, machine).items()}
    compared = 0
    for number in range(BEYOND):
        if library.name(number, machine) is None:
            continue
        for argument in ARGUMENTS.get(conditional.get(number), [0]):
            verdicts = [run(one, number, argument & 0xFFFFFFFF, machine) for one in (ours, theirs)]
            assert verdicts[0] == verdicts[1], (library.name(number, machine), argument)
            compared += 1
    assert compared > 300


@pytest.mark.parametrize("machine", MACHINES)
def test_what_reaches_beyond_the_dyno_is_refused(library, machine):
    ours = seccomp.program(machine)
    verdicts = {name: run(ours, library.number(name, machine) or 0xFFFF, 0, machine) for name in REFUSED}
    there = [name for name in REFUSED if library.number(name, machine) is not None]
    assert len(there) > 45
    assert {name: verdicts[name] for name in there} == dict.fromkeys(there, EPERM)


def test_bits_above_an_int_hide_no_family_and_no_flag():
    """The kernel cuts them off; a filter that compared all 64 would let AF_ALG through."""
    ours = seccomp.program("x86_64")
    assert run(ours, 41, 2**32 + 38) == EPERM
    assert run(ours, 56, 2**32 + 0x10000000) == EPERM


def test_calls_that_are_younger_than_the_table_do_not_exist():
    ours = seccomp.program("x86_64")
    newest = max(numbers(ALLOWED, "x86_64").values())
    assert {run(ours, number) for number in (newest + 1, 600, 0x40000000, 0x40000000 + 1, -1)} == {ENOSYS}
    assert run(ours, newest) == ALLOW


def test_another_architectures_calls_end_the_program():
    assert run(seccomp.program("x86_64"), 0, machine="aarch64") == KILL


def test_the_tree_is_flat_enough_for_the_kernel():
    """A conditional jump reaches 255 instructions; each call that the kernel did not remember runs some dozen."""
    for machine in MACHINES:
        code = list(struct.iter_unpack("HBBI", seccomp.program(machine)))
        assert len(code) < 300
        assert all(
            place + 1 + max(true, false) < len(code)
            for place, (kind, true, false, _) in enumerate(code)
            if kind & 7 == 5
        )


def test_a_machine_without_a_table_is_a_refusal_to_start():
    with pytest.raises(OSError, match="no table of system calls for riscv64"):
        seccomp.program("riscv64")
