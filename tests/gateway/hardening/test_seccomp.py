"""The filter refuses what is in its table and nothing else."""

import struct

import pytest

from gateway.hardening import seccomp
from tests.gateway.hardening.conftest import needs_seccomp

ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
ALLOW, REFUSE = 0x7FFF0000, 0x00050001


def verdict(machine: str, number: int, arch: int) -> int:
    """What the kernel's interpreter of classic BPF would return (``include/uapi/linux/bpf_common.h``)."""
    code = list(struct.iter_unpack("HBBI", seccomp.program(machine)))
    data = struct.pack("II", number, arch)
    place = accumulator = 0
    while True:
        kind, yes, no, value = code[place]
        place += 1
        match kind:
            case 0x20:
                [accumulator] = struct.unpack_from("I", data, value)
            case 0x15:
                place += yes if accumulator == value else no
            case 0x35:
                place += yes if accumulator >= value else no
            case 0x06:
                return value


@pytest.mark.parametrize("machine", list(ARCHITECTURES))
def test_the_program_refuses_its_table_alone(machine):
    column = list(ARCHITECTURES).index(machine)
    table = {columns[column] for columns in seccomp.REFUSED.values()}
    arch = ARCHITECTURES[machine]
    assert {number for number in range(1024) if verdict(machine, number, arch) == REFUSE} == table
    assert verdict(machine, 0, arch) == ALLOW


@pytest.mark.parametrize("machine", list(ARCHITECTURES))
def test_other_tables_are_refused_whole(machine):
    for arch in (0x40000003, *(other for name, other in ARCHITECTURES.items() if name != machine)):
        assert verdict(machine, 0, arch) == REFUSE
    assert verdict("x86_64", 0x40000000, ARCHITECTURES["x86_64"]) == REFUSE  # x32


@needs_seccomp
def test_a_process_that_refuses(run):
    run("""
        assert not seccomp.refused()
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
        seccomp.refuse()
        assert seccomp.refused()
        assert all(seccomp.refused(name) for name in seccomp.REFUSED)
        done = subprocess.run([sys.executable, "-c", "from gateway.hardening import seccomp; print(seccomp.refused('ptrace'))"],
            capture_output=True, text=True)
        assert done.stdout == "True\\n", done.stderr
    """)


@needs_seccomp
def test_without_no_new_privs_and_rights_the_kernel_refuses_the_filter(run):
    run("""
        if os.geteuid() == 0:
            sys.exit(0)
        assert error(seccomp.refuse) == "EACCES"
    """)
