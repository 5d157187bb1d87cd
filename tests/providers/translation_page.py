"""Writes docs/translation.md: what translation does with each member of each API.

``python -m tests.providers.translation_page --write`` writes the page.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import msgspec

from providers.anthropic import reader as messages_reader
from providers.conversation.conversation import Dialect
from providers.conversation.features import FEATURES, Fate
from providers.conversation.translated_members import MEMBERS
from providers.gemini import reader as gemini_reader
from providers.members import anthropic, google, openai
from providers.openai import chat_request_reader as chat_reader
from providers.openai import responses_reader

PAGE = Path(__file__).parents[2] / "docs/translation.md"
NAMES = {
    Dialect.CHAT: "Chat Completions",
    Dialect.RESPONSES: "Responses",
    Dialect.MESSAGES: "Messages",
    Dialect.GEMINI: "generateContent",
}
HEAD = """\
# Translation

What happens to every member of a request whose model is served through another API: the tables of
`providers/conversation/features.py` and `providers/conversation/translated_members.py`, written by
`python -m tests.providers.translation_page --write`. The code acts on these tables. Between hosts of one API nothing
is translated: see [members](members.md).

| decision | what happens |
|---|---|
| mapped | the other API is told the same in its own words; a note says where it is not exactly the same |
| carried | it is sent as it came, if the provider made it |
| dropped | it is left out: a hint, or something that only the caller's own provider knows |
| refused | the request is refused with `unsupported_feature`, naming it, and a sentence that says how to fix it |

## Answers

- Text, thoughts, calls with their arguments, refusals, sources with an address, the reason to stop and the token
  counts are told in the caller's dialect, one event at a time. A call is one part in generateContent, and one text in a
  free-form tool, so it is told when it is whole.
- What only the model's provider can read (a signature, encrypted reasoning) is put where the caller's dialect has a
  place for such data, in an envelope that names the provider: Anthropic's `signature`, OpenAI's `encrypted_content`,
  Google's `thoughtSignature`, and in Chat Completions `reasoning_details`. When the client sends it back it reaches
  that provider unchanged; any other provider would refuse it, so it is left out there.
- Anthropic counts what its cache held beside the input and Google counts thoughts beside the output: the caller sees
  the counts as its own dialect defines them.
- A refusal in words is text where the dialect has no place for it. Words that another provider's filter stopped end
  with the dialect's own reason for that.
- Arguments of a call that are no JSON object fail the answer, unless it was cut at the limit of its length: then the
  call is left out, and the reason says why.
- Probabilities of tokens are told after the text that they belong to, where both APIs have them.
- Places in the documents of a request, and sound and images as output are not told.

## Claude Code's attribution

A line of the system prompt that begins with `x-anthropic-billing-header:` changes with every request, so that nobody's
prompt cache would find the rest again. It reaches Anthropic as it was sent; off Anthropic it is removed, also where
another host has the Messages API (`providers/anthropic/attribution.py`).

## Counting tokens

`/v1/messages/count_tokens`, `/v1/responses/input_tokens` and `:countTokens` are translated into each other
(`providers/conversation/counting.py`): what the tables say of a request holds for the request that counts. Members that
do not change the count are left out. A request to count for a model that is served through Chat Completions is refused,
since that API does not count.

## Embeddings

`/v1/embeddings` and `:embedContent`, `:batchEmbedContents` are translated into each other
(`providers/conversation/embeddings.py`).

| member | what happens |
|---|---|
| `input` | mapped: one text a request; tokens are refused, since those of another model have other numbers |
| `dimensions` | mapped: `outputDimensionality` of every request |
| `encoding_format` | mapped: base64 is made here |
| `user` | dropped |
| `content` | mapped: its texts, joined; images, sound and files are refused |
| `outputDimensionality` | mapped: `dimensions`; refused if it differs between the requests of one batch |
| `taskType` `title` `embedContentConfig` `autoTruncate` `documentOcr` `audioTrackExtraction` `mimeType` | dropped: \
OpenAI's API has no member for them |
| `labels` `store` | dropped |

Vectors come back in the order of the texts; an answer that lacks one has failed. OpenAI's form always has a count of
tokens: if Google states none, the caller sees the gateway's estimate, as in its usage record.

## Fill-in-the-middle

Hosts that take `suffix` at `/v1/completions` (Ollama, DeepSeek at its beta address) get it as it is; vLLM and llama.cpp
refuse it in their own words. Mistral has `/v1/fim/completions` (`providers/conversation/filling.py`): `seed` is
`random_seed` there, an absent `max_tokens` is the 16 of OpenAI's API; `presence_penalty`, `frequency_penalty`,
`logit_bias` and `user` are dropped; a list as `prompt`, several completions, `echo` and `logprobs` are refused. Its
answers, in the form of chat, come back as completions.

## The recordings through every pair

`make pairs` prints how many recordings pass each pair of dialects, by feature. Of 4,580 translations of requests and
answers none failed on 28 November 2026; of the requests, 2 in a hundred are refused, since the other dialect has no
place for what they ask.

## Compared with another gateway

`tests/providers/conversation/test_golden.py` compares with the translations that agentgateway's tests hold, if they are
at hand. Where the two differ:

| they | here, and why |
|---|---|
| turn every effort into a budget of tokens | an effort stays one where the model knows it |
| wrap the result of a tool in `content` for Gemini | an object stands as it is, and a text as `output`, the name that the API gives it |
| write out the references of a schema for Gemini | `responseJsonSchema` knows `$ref` and `$defs` |
| leave what Anthropic's cache held out of `prompt_tokens` | it is included, as Chat Completions defines the count |
| leave out thoughts that the total of a compatible host includes | they are counted, as the ledger does |
| drop thoughts between Chat Completions, Responses and Messages | they are told to callers that asked for them |
| end a refusal in words with Anthropic's reason `refusal` | `end_turn`: no filter stopped the model, and clients treat `refusal` as an interrupted answer |
| keep `cache_control` for hosts of Chat Completions | it is left out: most hosts refuse members that they do not know |
| switch thinking off beside tools for one model | the request says so itself if it needs to |
| drop legacy functions, several choices and kept files | they are refused by name; several choices only where the other API has one |
"""


READERS: dict[Dialect, ModuleType] = {
    Dialect.CHAT: chat_reader,
    Dialect.RESPONSES: responses_reader,
    Dialect.MESSAGES: messages_reader,
    Dialect.GEMINI: gemini_reader,
}
NESTED = {
    Dialect.CHAT: openai.NESTED,
    Dialect.RESPONSES: openai.NESTED,
    Dialect.MESSAGES: anthropic.NESTED,
    Dialect.GEMINI: google.NESTED,
}


def names_read(source: Dialect) -> set[str]:
    """The members of messages, parts and tools that the reader of a dialect takes, as its code has them."""
    module = READERS[source]
    if source is Dialect.GEMINI:
        return set(re.findall(r'"([a-zA-Z]+)"', inspect.getsource(module))) & set(NESTED[source])
    structs = [one for one in vars(module).values() if inspect.isclass(one) and issubclass(one, msgspec.Struct)]
    own = (struct for struct in structs if struct.__module__ == module.__name__)
    return {name for struct in own for name in struct.__struct_fields__} & set(NESTED[source])


def page() -> str:
    """The whole page."""
    return "\n".join((HEAD, *(line for source in Dialect for line in section(source))))


def section(source: Dialect) -> Iterator[str]:
    """What happens to the members of one API."""
    targets = [target for target in Dialect if target is not source]
    yield f"## From {NAMES[source]}\n"
    yield "| members | " + " | ".join(f"to {NAMES[target]}" for target in targets) + " |"
    yield "|---" * (len(targets) + 1) + "|"
    for feature, fates in FEATURES.items():
        members = sorted(name for name, one in MEMBERS[source].items() if one is feature)
        if members:
            cells = [" ".join(f"`{name}`" for name in members), *(cell(fates[target]) for target in targets)]
            yield f"| {' | '.join(cells)} |"
    taken = names_read(source)
    yield f"| inside messages and tools: {listed(taken)} |" + " mapped |" * len(targets)
    rest = f"| inside messages and tools, of kinds that are refused, or else: {listed(set(NESTED[source]) - taken)} |"
    yield rest + " dropped |" * len(targets)
    yield ""


def listed(names: set[str]) -> str:
    """Names as the page shows them."""
    return " ".join(f"`{name}`" for name in sorted(names))


def cell(fate: Fate) -> str:
    """One decision and its note."""
    return f"{fate.handling}: {fate.note}" if fate.note else fate.handling


if __name__ == "__main__":
    if "--write" in sys.argv[1:]:
        PAGE.write_text(page())
    else:
        sys.stdout.write(page())
