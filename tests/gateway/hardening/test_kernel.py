"""Failures of the kernel come as errors with its own number."""

import errno

import pytest

from gateway.hardening.kernel import PR_GET_DUMPABLE, prctl, syscall


def test_a_flag_is_read():
    assert prctl(PR_GET_DUMPABLE) in (0, 1, 2)


def test_what_the_kernel_refuses_or_lacks_is_an_error():
    with pytest.raises(OSError) as caught:
        prctl(2**30)
    assert caught.value.errno == errno.EINVAL
    with pytest.raises(OSError) as caught:
        syscall(2**20)
    assert caught.value.errno == errno.ENOSYS
