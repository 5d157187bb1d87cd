"""A seccomp filter: calls that inspect processes or bypass the other rules fail with ``EPERM``.

Rules:

1. A list of refusals, not of permissions: an interpreter, a TLS library and a store server make more
   calls than a list of permissions could keep up with. Refused are calls that read or control
   another process, and calls that would bypass this filter or Landlock.
2. All calls of another architecture or of the x32 table are refused, since their numbers differ.
3. A refused call returns an error that programs handle; it never kills the process.

Numbers: the kernel's ``syscall_64.tbl`` and ``asm-generic/unistd.h``.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

from gateway.hardening.kernel import MACHINE, PR_GET_SECCOMP, prctl, syscall

# name -> (x86_64, aarch64)
REFUSED = {
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "perf_event_open": (298, 241),
    "bpf": (321, 280),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),  # its operations pass no filter
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "open_by_handle_at": (304, 265),  # opens past the path that Landlock looks at
    "acct": (163, 89),
    "swapon": (167, 224),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
}
# machine -> (AUDIT_ARCH_*, the number of seccomp(2), which column of the table)
_MACHINES = {"x86_64": (0xC000003E, 317, 0), "aarch64": (0xC00000B7, 277, 1)}

_SET_MODE_FILTER = 1
_TSYNC = 1  # every thread of this process
_SPEC_ALLOW = 4  # without it older kernels switch off speculation, which costs far more than the filter
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW = 0x7FFF0000
_REFUSE = 0x00050000 | errno.EPERM
_NUMBER_OFFSET, _ARCH_OFFSET = 0, 4
_X32 = 0x40000000


class _Program(ctypes.Structure):
    _fields_ = (("len", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def supported() -> bool:
    """Whether this kernel has filters and this machine's calls are known."""
    try:
        prctl(PR_GET_SECCOMP)
    except OSError:
        return False
    return MACHINE in _MACHINES


def program(machine: str) -> bytes:
    """The filter in classic BPF for ``machine``: `REFUSED` fail, the rest pass."""
    arch, _, column = _MACHINES[machine]
    numbers = [columns[column] for columns in REFUSED.values()]
    checks = [(_AT_LEAST, _X32)] if machine == "x86_64" else []
    checks += [(_EQUAL, number) for number in numbers]
    # The refusal is last, after the permission: a check that matches jumps over the instructions between.
    code = [(_LOAD, 0, 0, _ARCH_OFFSET), (_EQUAL, 0, len(checks) + 2, arch), (_LOAD, 0, 0, _NUMBER_OFFSET)]
    code += [(kind, len(checks) - index, 0, value) for index, (kind, value) in enumerate(checks)]
    code += [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _REFUSE)]
    return b"".join(struct.pack("HBBI", *line) for line in code)


def refuse() -> None:
    """Install the filter for all threads of this process and their children, for good.

    ``no_new_privs`` must be set.

    Raises:
        OSError: The kernel lacks filters, or this machine's calls are not known here.
    """
    if MACHINE not in _MACHINES:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    code = program(MACHINE)
    filter_ = _Program(len(code) // 8, code)
    pointer = ctypes.cast(ctypes.byref(filter_), ctypes.c_void_p)
    syscall(_MACHINES[MACHINE][1], _SET_MODE_FILTER, _TSYNC | _SPEC_ALLOW, pointer)


def refused(name: str = "process_vm_readv") -> bool:
    """Whether a call of the table fails with ``EPERM`` here, found by making it with no arguments.

    On its own memory and for no bytes at all `process_vm_readv` succeeds unless the filter refuses it.
    """
    if MACHINE not in _MACHINES:
        return False
    try:
        syscall(REFUSED[name][_MACHINES[MACHINE][2]], os.getpid(), 0, 0, 0, 0, 0)
    except OSError as error:
        return error.errno == errno.EPERM
    return False
