"""What a request asks a model to read, in numbers: text by its bytes, media by their kind and size.

The numbers are read once, with the head. `gateway.inference.estimate` makes tokens of them for the model that answers.
"""

from __future__ import annotations

import msgspec


class Weight(msgspec.Struct, frozen=True):
    """How much a request gives a model to read. Numbers only.

    Attributes:
        text: UTF-8 bytes of what is read as text.
    """

    text: int = 0
