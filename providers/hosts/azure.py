"""Azure OpenAI, by its v1 API: OpenAI's paths and bodies below ``/openai/v1``, a deployment's name as the model.

https://learn.microsoft.com/azure/foundry/openai/api-version-lifecycle (no ``api-version`` parameter). The key is in the
header ``api-key``. Where a deployment processes requests (global, data zone, region) is decided when it is made, and
cannot be seen in the address.
"""

from __future__ import annotations

from typing import Final

from providers.dialect import Operation

OPERATIONS: Final = frozenset(
    (
        Operation.OPENAI_CHAT,
        Operation.OPENAI_RESPONSES,
        Operation.OPENAI_COMPLETIONS,
        Operation.OPENAI_EMBEDDINGS,
    )
)
PREFIX: Final = "/openai/v1"
"""The path of a base URL that states none."""
