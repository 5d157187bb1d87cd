"""Python imports this at its start where the campaign put this folder on its path: faults go into gateways alone."""

import os
import sys

if "CODEGREX_CRASH" in os.environ and {"gateway", "gateway.process.worker"} & set(sys.orig_argv):
    from benchmarks.crash.faults import install

    install(os.environ["CODEGREX_CRASH"])
