"""Refuses requests that make an engine fetch something or reach another machine.

Rules:

1. Images, audio and files must be data inside the request, never an address.
2. Every string is checked, except text for the model: messages, arguments and results of tools, and schemas. Those are
   skipped by their exact names in an API; an unknown member is not skipped.
3. Engines differ in how they read a name (Go folds case, protobuf accepts two spellings) and in which of two duplicate
   members they use. A name that differs from an API's only by folding is refused, both duplicates are checked, and
   members that hold media are recognised by their names without case and underscores.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final, TypeAlias

from providers.dialect import Refusal
from providers.document.strings import folded

_REMOTE: Final = "In local mode nothing is fetched from the network: send the data inside the request."
_SPELLED: Final = (
    "The name of a member differs from one of the API's only by case or kind of letters: write it as the API does."
)
_NOT_JSON: Final = "The request body is not valid JSON, or is nested too deeply."

_Pairs: TypeAlias = tuple[tuple[str, Any], ...]
"""A JSON object with all its members, duplicates included."""

_SKIPPED: Final = frozenset((
    "metadata", "client_metadata", "labels", "annotations", "citations",
    "arguments", "args", "response", "action", "operation", "actions",
    "parameters", "parametersJsonSchema", "input_schema", "inputSchema", "output_schema", "input_examples", "schema",
    "json_schema", "responseSchema", "response_schema", "responseJsonSchema", "guided_json", "structured_outputs",
))  # fmt: skip
"""Skipped members: the caller's metadata, sources that earlier answers quote, arguments of tools, schemas."""

_TEXTS: Final = frozenset((
    "text", "content", "input", "output", "prompt", "suffix", "instructions", "system", "description", "title", "name",
    "refusal", "reasoning", "reasoning_content", "thinking", "signature", "thoughtSignature", "thought_signature",
    "encrypted_content", "summary", "context", "stop", "stop_sequences", "stopSequences", "user", "filename", "query",
    "code", "diff", "result", "stdout", "stderr", "chat_template", "grammar", "definition", "guided_regex",
    "guided_grammar", "guided_choice",
))  # fmt: skip
"""Members that are text for the model if they are strings. Other values in them are checked."""

_OF_TYPE: Final = {
    "tool_use": "input",
    "server_tool_use": "input",
    "mcp_tool_use": "input",
    "search_result": "source",
    "web_search_result": "url",
}
"""Skipped members of objects of one type: arguments of a tool, and sources of a search."""

_FORM: Final = frozenset((
    "type", "role", "messages", "contents", "parts", "tools", "functions", "function", "source", "data", "documents",
    "inlineData", "inline_data", "model",
))  # fmt: skip

_REACHING: Final = {
    name.replace("_", ""): f"In local mode no other machine is reached: leave out {name}."
    for name in (
        *("mcp_servers", "server_url", "connector_id", "connectors", "vector_store_ids", "plugins", "data_sources"),
        *("web_search_options", "search_parameters", "kv_transfer_params", "ec_transfer_params", "remote_host"),
    )
}
"""Members that name another machine or a tool that reaches one, and the sentence that refuses each."""

_MEDIA: Final = re.compile(
    r"(?:input)?(?:image|video|audio|file|media|pdf|picture)s?(?:file|data)?|.*(?:ur[li]s?|hrefs?|link)"
)
_KNOWN: Final = frozenset(map(folded, (*_SKIPPED, *_TEXTS, *_FORM)))
_EXACT: Final = _SKIPPED | _TEXTS | _FORM

_DATA_URL: Final = re.compile(r"\s*data:[\w.+-]*(?:/[\w.+-]+)?(?:;[\w.+-]+=[\w.+-]+)*;base64,", re.IGNORECASE)
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_\s-]{32,256}")
_ADDRESS: Final = re.compile(
    r"[\x00-\x20]*(?:[a-z][a-z0-9+.-]+:[/\\]|(?:https?|ftps?|file|wss?|gs|s3):|[/\\]{2}[^/\\]*[.:])"
)


def refuse_remote_references(body: bytes) -> None:
    """Refuse a request of any dialect that refers to content elsewhere, or that names another machine.

    Raises:
        Refusal: ``unsupported_feature``; ``invalid_request`` for a name that could be read as another one.
    """
    try:
        if any(_is_remote(name, text) for name, text in _strings(json.loads(body, object_pairs_hook=tuple), "")):
            raise Refusal("unsupported_feature", _REMOTE)
    except (ValueError, RecursionError):
        raise Refusal("invalid_request", _NOT_JSON) from None


def _is_remote(name: str, text: str) -> bool:
    """Whether the string in a member of this name is an address, or is not data although the member holds media."""
    if _MEDIA.fullmatch(_bare(name)) is not None:
        # Base64 has no colon: another parser could read the part after it as an address.
        opening = _DATA_URL.match(text) or _BASE64.match(text)
        return opening is None or ":" in text[opening.end() :]
    return _ADDRESS.match(folded(text[:64])) is not None


def _strings(value: Any, name: str) -> Iterator[tuple[str, str]]:
    """Each string that is not text for the model, with the name of its member."""
    if isinstance(value, str):
        if name not in _TEXTS:
            yield name, value
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item, name)
    elif isinstance(value, tuple):
        yield from _in_object(value)


def _in_object(pairs: _Pairs) -> Iterator[tuple[str, str]]:
    types = [value for name, value in pairs if name == "type"]
    kind = types[0] if len(types) == 1 and isinstance(types[0], str) else ""
    for name, value in pairs:
        if name in _SKIPPED or _OF_TYPE.get(kind) == name:
            continue
        if name not in _EXACT and folded(name) in _KNOWN:
            raise Refusal("invalid_request", _SPELLED)
        reaching = _REACHING.get(_bare(name))
        if reaching is not None and value not in (None, False, "", []):
            raise Refusal("unsupported_feature", reaching)
        if not (kind == "text" and name == "data" and isinstance(value, str)):  # a document that is text
            yield from _strings(value, name)


def _bare(name: str) -> str:
    return folded(name).replace("_", "").replace("-", "")
