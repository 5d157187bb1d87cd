"""How many tokens a request's input has, before its provider says so: two estimates for two uses. Pure.

1. `bound` is for holds and for the token rate: rarely exceeded, never an invoice.
2. `expected` is for charges of requests that ended before their provider stated the input: without bias, and never
   above the bound.
"""

from __future__ import annotations

import msgspec

from metering import pricing
from providers.weight import Weight


class Expected(msgspec.Struct, frozen=True):
    """The input that a request probably has, in tokens.

    Attributes:
        uncached: Read at the full price.
        cached: Probably read from the provider's prompt cache.
    """

    uncached: int = 0
    cached: int = 0

    @property
    def tokens(self) -> int:
        """All of it."""
        return self.uncached + self.cached


def bound(weight: Weight, *, bytes_per_token_milli: int | None = None, window: int | None = None) -> int:
    """Input tokens that the request has at most, by estimate.

    Args:
        weight: What it gives the model to read.
        bytes_per_token_milli: The model's learnt ratio in thousandths, or ``None``: not learnt yet.
        window: The model's context window in tokens, which no input exceeds.
    """
    return pricing.estimate_input(
        weight.text, bytes_per_token_milli=bytes_per_token_milli or pricing.BYTES_PER_TOKEN_MILLI, ceiling=window
    )


def expected(weight: Weight, *, bytes_per_token_milli: int | None = None, window: int | None = None) -> Expected:
    """Input tokens that the request probably has; the same arguments as `bound`."""
    return Expected(uncached=bound(weight, bytes_per_token_milli=bytes_per_token_milli, window=window))
