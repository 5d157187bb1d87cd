from __future__ import annotations

import pytest

from providers.dialect import Family
from providers.paths import PathFault, resolve
from providers.refused_paths import REFUSED

PRIVATE = {
    Family.OPENAI: [
        "POST /v1/files",
        "GET /v1/files/file-1/content",
        "POST /v1/uploads",
        "POST /v1/batches",
        "GET /v1/batches/batch_1",
        "POST /v1/assistants",
        "POST /v1/threads/t/runs",
        "POST /threads",
        "POST /v1/vector_stores/vs/search",
        "GET /v1/fine_tuning/jobs",
        "POST /v1/conversations",
        "GET /v1/conversations/c/items",
        "POST /v1/containers",
        "POST /v1/evals",
        "GET /v1/responses/resp_1",
        "DELETE /v1/responses/resp_1",
        "POST /v1/responses/resp_1/cancel",
        "GET /v1/responses/resp_1/input_items",
        "GET /v1/chat/completions/c",
        "GET /v1/chat/completions/c/messages",
        "POST /v1/traces/ingest",
        "POST /v1/skills",
    ],
    Family.ANTHROPIC: [
        "POST /v1/messages/batches",
        "GET /v1/messages/batches/b/results",
        "POST /v1/files",
        "POST /v1/skills",
        "POST /v1/containers",
        "POST /v1/sessions",
        "POST /v1/agents",
        "POST /v1/memory_stores",
    ],
    Family.GOOGLE: [
        "POST /v1beta/cachedContents",
        "PATCH /v1beta/cachedContents/c",
        "POST /upload/v1beta/files",
        "POST /v1/upload/v1beta/files",
        "POST /v1beta/files",
        "POST /v1beta/files:register",
        "POST /v1beta/interactions",
        "POST /v1beta/fileSearchStores/s:importFile",
        "POST /upload/v1beta/fileSearchStores/s:uploadToFileSearchStore",
        "POST /v1beta/corpora",
        "GET /v1beta/batches/b",
        "POST /v1beta/models/m:batchGenerateContent",
        "POST /v1/models/m:batchGenerateContent",
        "POST /v1beta/models/m:asyncBatchEmbedContent",
        "POST /v1beta/tunedModels",
        "POST /v1beta/tunedModels/t:generateContent",
        "GET /ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent",
        "POST /v1beta/models/m:bidiGenerateContent",
        "POST /v1beta/auth_tokens",
    ],
}
UNSUPPORTED = {
    Family.OPENAI: [
        "POST /v1/realtime/sessions",
        "GET /v1/realtime",
        "POST /v1/images/generations",
        "POST /v1/audio/speech",
        "POST /v1/audio/transcriptions",
        "POST /v1/moderations",
        "POST /v1/videos",
        "GET /v1/organization/usage/completions",
        "POST /v1beta/openai/chat/completions",
    ],
    Family.ANTHROPIC: ["POST /v1/complete", "GET /v1/organizations/me"],
    Family.GOOGLE: [
        "POST /v1beta/models/m:predict",
        "POST /v1beta/models/m:predictLongRunning",
        "POST /v1beta/models/m:generateText",
    ],
}


def cases(table):
    return [pytest.param(family, line, id=line) for family, lines in table.items() for line in lines]


@pytest.mark.parametrize(("family", "line"), cases(PRIVATE))
def test_what_is_kept_at_the_provider_is_refused_by_name(family, line):
    assert refused(family, line).code == "privacy_unsupported"


@pytest.mark.parametrize(("family", "line"), cases(UNSUPPORTED))
def test_what_is_not_offered_is_refused_by_name(family, line):
    assert refused(family, line).code == "unsupported_feature"


def refused(family, line):
    method, path = line.split()
    fault = resolve(method, path, family if family is Family.ANTHROPIC else None)
    assert isinstance(fault, PathFault)
    assert (fault.status, fault.family) == (400, family)
    return fault


def test_every_refusal_says_the_mend():
    for table in REFUSED.values():
        for why in table.values():
            assert why.code in ("privacy_unsupported", "unsupported_feature")
            assert why.message.count(":") == 1
            assert why.message.endswith(".")
