"""The trial tells what a hardened process of this machine has."""

import json
import subprocess
import sys

from gateway.hardening import landlock
from gateway.hardening.process import Measure, Measured


def test_the_trial_is_one_object(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "gateway.hardening.trial", str(tmp_path)], capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)
    assert found["landlock_abi"] == landlock.abi()
    assert set(found["here"]) == set(Measure)
    assert found["here"]["not_dumpable"] == Measured.YES
