"""``make privacy``: run every test that a guarantee rests on, and report what they found (`tests.privacy.plugin`).

The exit code is 0 only if nothing was found, every control was caught, and no test failed or was skipped
(`tests.untested`). Further arguments are pytest's.
"""

from __future__ import annotations

import os
import sys

import pytest

from tests import untested
from tests.privacy.guarantees import GUARANTEES
from tests.privacy.plugin import Reporting


def main(arguments: list[str]) -> int:
    tests = list(dict.fromkeys(test.split("::")[0] for one in GUARANTEES for test in one.tests))
    os.environ[untested.VARIABLE] = "1"
    return int(pytest.main(["-q", *arguments, *tests], plugins=[Reporting(strict=True)]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
