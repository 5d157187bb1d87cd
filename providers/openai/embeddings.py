"""Embeddings (``POST /v1/embeddings``): nothing streams, nothing is generated.

https://developers.openai.com/api/docs/api-reference/embeddings/create
"""

from __future__ import annotations

from typing import Final

from providers import bounds
from providers.answers.body import JsonBody
from providers.dialect import Head, Operation, Scanner, Target
from providers.document.members import read_members, read_model
from providers.document.splice import Edits, Splicing
from providers.members.register import examine
from providers.openai import request as openai_request
from providers.openai.answer import CHAT, read_embeddings
from providers.openai.weight import weigh_prompt
from providers.steps import Steps


class Embeddings(Splicing):
    """The `Wire` of embeddings."""

    operation = Operation.OPENAI_EMBEDDINGS
    billed = True

    def read(self, body: bytes, path_model: str | None) -> Steps[Head]:
        members = yield from read_members(body, values=bounds.TOKEN_VALUES)
        found = yield from examine(self.operation, members)
        return Head(
            model=read_model(members, path_model),
            output_limit=0,
            members=members.spans,
            weight=(yield from weigh_prompt(members, len(body), "input")),
            found=found,
        )

    def edit(self, body: bytes, head: Head, target: Target) -> Steps[Edits]:
        edits = Edits(body, head.members)
        yield from openai_request.edit_common(edits, head, target, self.operation)
        return edits

    def path(self, model: str) -> str:  # noqa: ARG002 - the model is in the body
        return "/v1/embeddings"

    def scanner(self, head: Head, *, sse: bool | None) -> Scanner:  # noqa: ARG002 - nothing streams
        return JsonBody(head, read_embeddings, CHAT, output=None)


WIRE: Final = Embeddings()
