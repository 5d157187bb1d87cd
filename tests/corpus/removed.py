"""What recorded requests lose on their way to a provider: `python -m tests.corpus.removed` prints it."""

from __future__ import annotations

import json
from collections import Counter
from typing import NamedTuple

from providers.dialect import Head, Operation
from providers.members import register
from providers.wires import WIRES
from tests.corpus.test_requests import read, served


class Removed(NamedTuple):
    """A member of an operation's request that does not reach the provider as it was sent."""

    operation: Operation
    what: str  # as the answer's x-members-removed tells it, or what takes its place


def removed() -> tuple[Counter[Removed], int]:
    """How many recorded requests lost what under the default policy, and how many there are that are sent."""
    found: Counter[Removed] = Counter()
    sent = 0
    for record, operation in served():
        head = read(WIRES[operation], json.dumps(record["request_body"]).encode())
        if not isinstance(head, Head):
            continue
        sent += 1
        told = register.told(head.found, extended_cache=False, strip_unknown=True)
        found.update(Removed(operation, what) for what in told.split(", ") if what)
        found.update(Removed(operation, f"pseudonym of {'.'.join(path)}") for path in head.found.pseudonyms)
        found.update(Removed(operation, f"hash of {name}") for name in head.found.cache_keys)
    return found, sent


def main() -> None:
    found, sent = removed()
    for one, count in sorted(found.items()):
        print(f"{one.operation.value:24}{one.what:40}{count:6}")
    print(f"{sum(found.values())} members of {sent} requests")


if __name__ == "__main__":
    main()
