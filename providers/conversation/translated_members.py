"""Which member of which API is which feature: with `providers.conversation.features`, what translation does with it.

Every member of the register (`providers.members.register`) is here, and parts of messages and tools that have a feature
of their own, by the names on their way. docs/translation.md is written from these tables
(``python -m tests.providers.translation_page --write``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from providers.conversation.conversation import Dialect
from providers.conversation.features import FEATURES, Feature, Handling
from providers.members.openai import HOSTS


def _each(feature: Feature, *names: str) -> dict[str, Feature]:
    return dict.fromkeys(names, feature)


_OPENAI: Final = {
    **dict.fromkeys(HOSTS, Feature.HOST_OPTION),
    **_each(Feature.MODEL, "model"),
    **_each(Feature.STREAM, "stream", "stream_options.include_usage", "stream_options"),
    **_each(Feature.HOST_OPTION, "stream_options.include_obfuscation", "store", "include"),
    **_each(Feature.TEMPERATURE, "temperature"),
    **_each(Feature.TOP_P, "top_p"),
    **_each(Feature.TOOLS, "tools"),
    **_each(Feature.TOOL_CHOICE, "tool_choice"),
    **_each(Feature.PARALLEL_CALLS, "parallel_tool_calls"),
    **_each(Feature.VERBOSITY, "verbosity"),
    **_each(Feature.PROBABILITIES, "top_logprobs"),
    **_each(Feature.TIER, "service_tier"),
    **_each(
        Feature.CACHE,
        *("prompt_cache_key", "prompt_cache_options", "prompt_cache_options.mode", "prompt_cache_options.prewarm"),
        *("prompt_cache_options.ttl", "prompt_cache_options.comparison_response_id", "prompt_cache_retention"),
    ),
    **_each(
        Feature.IDENTITY,
        *("user", "metadata", "client_metadata", "safety_identifier", "safeguards", "access_programs"),
        *("session_id", "trace", "request_id", "user_id", "end_user_id", "project_id", "prompt_cache_isolation_key"),
    ),
    **_each(Feature.SAFETY, "moderation", "moderation.model", "moderation.policy"),
    **_each(Feature.STORED, "background", "deferred", "data_sources"),
    **_each(Feature.PROVIDER_TOOLS, "plugins", "search_settings", "search_parameters"),
}

MEMBERS: Final[Mapping[Dialect, Mapping[str, Feature]]] = {
    Dialect.CHAT: {
        **_OPENAI,
        **_each(Feature.MESSAGES, "messages"),
        **_each(Feature.INSTRUCTIONS, "messages.role: system, developer"),
        **_each(Feature.IMAGES, "messages.content.image_url"),
        **_each(Feature.IMAGE_ADDRESSES, "messages.content.image_url.url"),
        **_each(Feature.IMAGE_DETAIL, "messages.content.image_url.detail"),
        **_each(Feature.DOCUMENTS, "messages.content.file"),
        **_each(Feature.AUDIO, "messages.content.input_audio"),
        **_each(Feature.EARLIER_REASONING, "messages.reasoning_details"),
        **_each(Feature.TOOL_GRAMMAR, "tools.custom.format"),
        **_each(Feature.STRICT_TOOLS, "tools.function.strict"),
        **_each(Feature.OUTPUT_LIMIT, "max_tokens", "max_completion_tokens"),
        **_each(Feature.PENALTIES, "presence_penalty", "frequency_penalty"),
        **_each(Feature.SEED, "seed"),
        **_each(Feature.STOP, "stop"),
        **_each(Feature.BIAS, "logit_bias"),
        **_each(Feature.PROBABILITIES, "logprobs"),
        **_each(Feature.CHOICES, "n"),
        **_each(Feature.PREDICTION, "prediction"),
        **_each(Feature.OTHER_OUTPUT, "audio", "modalities"),
        **_each(Feature.LEGACY_FUNCTIONS, "functions", "function_call"),
        **_each(Feature.JSON, "response_format: json_object"),
        **_each(Feature.SCHEMA, "response_format"),
        **_each(Feature.EFFORT, "reasoning_effort"),
        **_each(Feature.PROVIDER_TOOLS, "web_search_options"),
    },
    Dialect.RESPONSES: {
        **_OPENAI,
        **_each(Feature.MESSAGES, "input"),
        **_each(Feature.INSTRUCTIONS, "instructions"),
        **_each(Feature.IMAGES, "input.content.input_image"),
        **_each(Feature.IMAGE_ADDRESSES, "input.content.input_image.image_url"),
        **_each(Feature.IMAGE_DETAIL, "input.content.input_image.detail"),
        **_each(Feature.DOCUMENTS, "input.content.input_file.file_data"),
        **_each(Feature.DOCUMENT_ADDRESSES, "input.content.input_file.file_url"),
        **_each(Feature.EARLIER_REASONING, "input.reasoning"),
        **_each(Feature.TOOL_GRAMMAR, "tools.format"),
        **_each(Feature.STRICT_TOOLS, "tools.strict"),
        **_each(Feature.OUTPUT_LIMIT, "max_output_tokens"),
        **_each(Feature.JSON, "text.format: json_object"),
        **_each(Feature.SCHEMA, "text", "text.format"),
        **_each(Feature.VERBOSITY, "text.verbosity"),
        **_each(Feature.EFFORT, "reasoning", "reasoning.effort"),
        **_each(Feature.SHOWN_REASONING, "reasoning.summary", "reasoning.generate_summary"),
        **_each(
            Feature.CONTEXT,
            *("reasoning.mode", "reasoning.context", "reasoning.context_compression", "image"),
            *("image.context_compression", "truncation", "context_management", "personality", "max_tool_calls"),
        ),
        **_each(Feature.STORED, "previous_response_id", "conversation", "prompt", "background_options", "multi_agent"),
    },
    Dialect.MESSAGES: {
        **_each(Feature.MODEL, "model"),
        **_each(Feature.STREAM, "stream"),
        **_each(Feature.MESSAGES, "messages", "prefill"),
        **_each(Feature.INSTRUCTIONS, "system", "messages.role: system"),
        **_each(Feature.IMAGES, "messages.content.image"),
        **_each(Feature.IMAGE_ADDRESSES, "messages.content.image.source.url"),
        **_each(Feature.DOCUMENTS, "messages.content.document"),
        **_each(Feature.DOCUMENT_ADDRESSES, "messages.content.document.source.url"),
        **_each(Feature.EARLIER_REASONING, "messages.content.thinking", "messages.content.redacted_thinking"),
        **_each(Feature.FAILED_RESULTS, "messages.content.tool_result.is_error"),
        **_each(Feature.TOOLS, "tools"),
        **_each(Feature.STRICT_TOOLS, "tools.strict"),
        **_each(Feature.TOOL_CHOICE, "tool_choice"),
        **_each(Feature.PARALLEL_CALLS, "tool_choice.disable_parallel_tool_use"),
        **_each(Feature.OUTPUT_LIMIT, "max_tokens"),
        **_each(Feature.TEMPERATURE, "temperature"),
        **_each(Feature.TOP_P, "top_p"),
        **_each(Feature.TOP_K, "top_k"),
        **_each(Feature.STOP, "stop_sequences"),
        **_each(Feature.SCHEMA, "output_config", "output_config.format", "output_format"),
        **_each(Feature.EFFORT, "output_config.effort", "thinking", "thinking.type"),
        **_each(Feature.BUDGET, "thinking.budget_tokens"),
        **_each(Feature.SHOWN_REASONING, "thinking.display"),
        **_each(Feature.CACHE, "cache_control"),
        **_each(
            Feature.CONTEXT,
            *("context_management", "compaction", "output_config.task_budget", "thinking.block_binding"),
            *("thinking.max_tokens",),
        ),
        **_each(
            Feature.IDENTITY,
            *("metadata", "metadata.user_id", "user_profile_id", "billing_policy", "fallback_credit_token", "tags"),
            *("workspace_id", "user", "session_id", "trace", "diagnostics", "diagnostics.previous_message_id"),
        ),
        **_each(Feature.TIER, "service_tier", "speed", "inference_geo"),
        **_each(Feature.HOST_OPTION, "anthropic_beta", "anthropic_version", "fallbacks"),
        **_each(Feature.PROVIDER_TOOLS, "mcp_servers"),
        **_each(Feature.STORED, "container", "thread"),
    },
    Dialect.GEMINI: {
        **_each(Feature.MODEL, "model"),
        **_each(Feature.MESSAGES, "contents"),
        **_each(Feature.INSTRUCTIONS, "systemInstruction"),
        **_each(Feature.IMAGES, "contents.parts.inlineData: image/*"),
        **_each(Feature.IMAGE_ADDRESSES, "contents.parts.fileData: image/*"),
        **_each(Feature.DOCUMENTS, "contents.parts.inlineData: application/pdf, text/*"),
        **_each(Feature.DOCUMENT_ADDRESSES, "contents.parts.fileData: application/pdf"),
        **_each(Feature.AUDIO, "contents.parts.inlineData: audio/*"),
        **_each(Feature.VIDEO, "contents.parts.inlineData: video/*"),
        **_each(Feature.EARLIER_REASONING, "contents.parts.thought", "contents.parts.thoughtSignature"),
        **_each(Feature.FAILED_RESULTS, "contents.parts.functionResponse.response.error"),
        **_each(Feature.TOOLS, "tools"),
        **_each(Feature.TOOL_CHOICE, "toolConfig"),
        **_each(Feature.SAFETY, "safetySettings", "modelArmorConfig"),
        **_each(Feature.STORED, "cachedContent", "store", "continuationToken"),
        **_each(Feature.IDENTITY, "labels", "generationConfig.labels"),
        **_each(Feature.TIER, "serviceTier"),
        **_each(
            Feature.HOST_OPTION,
            *("modelSelectionConfig", "routingConfig", "generationConfig.modelSelectionConfig"),
            *("generationConfig.routingConfig", "generationConfig.modelConfig", "generationConfig.mediaResolution"),
            *("generationConfig.enableAffectiveDialog", "generationConfig.enableEnhancedCivicAnswers"),
            *("generationConfig.audioTimestamp", "generationConfig.audioTranscriptionConfig"),
            *("generationConfig.translationConfig", "generationOutputConfig"),
            *("generationConfig.generationOutputConfig",),
        ),
        **_each(Feature.MESSAGES, "generateContentRequest"),
        **_each(Feature.SCHEMA, "generationConfig", "generationConfig.responseSchema"),
        **_each(Feature.SCHEMA, "generationConfig.responseJsonSchema", "generationConfig._responseJsonSchema"),
        **_each(Feature.SCHEMA, "generationConfig.responseFormat"),
        **_each(Feature.JSON, "generationConfig.responseMimeType"),
        **_each(Feature.CHOICES, "generationConfig.candidateCount"),
        **_each(Feature.PROBABILITIES, "generationConfig.logprobs", "generationConfig.responseLogprobs"),
        **_each(
            Feature.OTHER_OUTPUT,
            *("generationConfig.responseModalities", "generationConfig.speechConfig", "generationConfig.imageConfig"),
        ),
        **_each(Feature.OUTPUT_LIMIT, "generationConfig.maxOutputTokens"),
        **_each(Feature.TEMPERATURE, "generationConfig.temperature"),
        **_each(Feature.TOP_P, "generationConfig.topP"),
        **_each(Feature.TOP_K, "generationConfig.topK"),
        **_each(Feature.SEED, "generationConfig.seed"),
        **_each(Feature.PENALTIES, "generationConfig.presencePenalty", "generationConfig.frequencyPenalty"),
        **_each(Feature.STOP, "generationConfig.stopSequences"),
        **_each(Feature.EFFORT, "generationConfig.thinkingConfig", "generationConfig.thinkingConfig.thinkingLevel"),
        **_each(Feature.BUDGET, "generationConfig.thinkingConfig.thinkingBudget"),
        **_each(Feature.SHOWN_REASONING, "generationConfig.thinkingConfig.includeThoughts"),
    },
}


def member_of(source: Dialect, feature: Feature) -> str | None:
    """The first member that is the feature, for the error of a request that is refused for it."""
    return next((name for name, one in MEMBERS[source].items() if one is feature), None)


UNREAD: Final = frozenset((
    Feature.IDENTITY, Feature.TIER, Feature.BIAS, Feature.PREDICTION, Feature.SAFETY, Feature.CONTEXT,
    Feature.HOST_OPTION,
))  # fmt: skip
"""Features that the hub has no place for, so that a member that is there is dropped."""


def dropped_members(
    source: Dialect, target: Dialect, members: Iterable[str], dropped: frozenset[Feature]
) -> tuple[str, ...]:
    """The members of a request that a translation drops, by their names in the register.

    Args:
        source: The caller's dialect.
        target: The provider's.
        members: What the request has, at its top level and, by dotted names, in the objects that the register looks
            into. A name that no table knows is skipped: it was judged by the register.
        dropped: What `providers.conversation.fitting.fit` dropped.
    """
    table = MEMBERS[source]
    gone = dropped | {feature for feature in UNREAD if FEATURES[feature][target].handling is Handling.DROPPED}
    present = {name for name in members if name in table}
    within = {name for name in table if table[name] in dropped and name.partition(".")[0] in present}
    return tuple(sorted(map(plain, {name for name in present if table[name] in gone} | within)))


def plain(name: str) -> str:
    """A member's name without the values of it that are meant."""
    return name.partition(":")[0]
