"""The members of the Gemini API's requests, in camelCase; `register` adds the snake_case spelling.

From the SDK's types (``google.genai.types``) and https://ai.google.dev/api/generate-content. `tests/members` fails
while the installed SDK has a member that is not here.
"""

from __future__ import annotations

from typing import Final

from providers.members.decision import Decision, Member, Table, each, looked_into, passes

_SHAPES = "shapes the answer; keeps nothing and names nobody"
_CONTENT = "content of the request"
_TOOLS = "definitions of tools; policy.server_tools decides about those that run at the provider"
_OF_TOOLS = "of a tool that runs at the provider: policy.server_tools"
_HISTORY = "the conversation so far, as the provider gave it"

_ROUTING = Member(
    Decision.REFUSE, "A request goes to the one model that it names: leave out routingConfig and modelSelectionConfig."
)
_KEPT_OUTPUT = Member(
    Decision.REFUSE, "Output that the provider writes to a store is not served: leave out generationOutputConfig."
)
_SPEECH: Final[Table] = {
    **passes(_SHAPES, "voiceConfig", "multiSpeakerVoiceConfig", "languageCode"),
}

GENERATION_CONFIG: Final[Table] = {
    **passes(
        _SHAPES,
        *("temperature", "topP", "topK", "candidateCount", "maxOutputTokens", "stopSequences", "responseLogprobs"),
        *("logprobs", "presencePenalty", "frequencyPenalty", "seed", "responseMimeType", "responseSchema"),
        *("responseJsonSchema", "_responseJsonSchema", "responseFormat", "responseModalities", "mediaResolution"),
        *("audioTimestamp", "audioTranscriptionConfig", "enableAffectiveDialog", "enableEnhancedCivicAnswers"),
        *("imageConfig", "translationConfig"),
    ),
    "thinkingConfig": looked_into(_SHAPES, passes(_SHAPES, "includeThoughts", "thinkingBudget", "thinkingLevel")),
    "speechConfig": looked_into(_SHAPES, _SPEECH),
    "routingConfig": _ROUTING,
    "modelSelectionConfig": _ROUTING,
    "modelConfig": _ROUTING,
    "generationOutputConfig": _KEPT_OUTPUT,
    "labels": Member(Decision.STRIP, "says who asks, or for what"),
}

_REQUEST: Final[Table] = {
    "model": Member(Decision.MODEL, "the requested model"),
    **passes(_CONTENT, "contents", "systemInstruction", "continuationToken"),
    **passes(_SHAPES, "toolConfig", "safetySettings"),
    "tools": Member(Decision.PASS, _TOOLS),
    "generationConfig": looked_into(_SHAPES, GENERATION_CONFIG),
    "serviceTier": Member(Decision.PRICED, "a tier without a price is refused"),
    "store": Member(Decision.POLICY, "set to false if the host knows it: nothing is logged"),
    "labels": Member(Decision.STRIP, "says who asks, or for what"),
    "cachedContent": Member(
        Decision.REFUSE,
        "Cached contents are kept at the provider: resend the contents; repeated prefixes are cached implicitly.",
    ),
    **passes("screens with templates in the operator's own account", "modelArmorConfig"),
    "routingConfig": _ROUTING,
    "modelSelectionConfig": _ROUTING,
    "generationOutputConfig": _KEPT_OUTPUT,
}

GENERATE: Final[Table] = {**_REQUEST, "generateContentRequest": looked_into("the same, to be counted", _REQUEST)}
COUNT_TOKENS: Final[Table] = GENERATE
EMBED: Final[Table] = {
    "model": Member(Decision.MODEL, "the requested model"),
    **passes(_CONTENT, "content", "requests", "contents", "title"),
    **passes(_SHAPES, "taskType", "outputDimensionality", "embedContentConfig", "autoTruncate", "documentOcr"),
    **passes(_SHAPES, "audioTrackExtraction", "mimeType"),
    "labels": Member(Decision.STRIP, "says who asks, or for what"),
    "store": Member(Decision.STRIP, "nothing is kept"),
}
BATCH_EMBED: Final[Table] = EMBED

PART_METADATA: Final = "partMetadata"

NESTED: Final[Table] = {
    PART_METADATA: Member(Decision.STRIP, "agents put names of files and sources there"),
    "fileUri": Member(Decision.REFUSE, "names a file kept at the provider, if it is one of the Files API"),
    **passes(
        _CONTENT,
        *("text", "parts", "inlineData", "fileData", "data", "mimeType", "displayName", "args", "response", "code"),
        *("output", "outcome", "language", "willContinue", "partialArgs", "jsonPath", "stringValue", "boolValue"),
        *("numberValue", "nullValue", "videoMetadata", "startOffset", "endOffset", "fps", "startTime", "endTime"),
        *("duration", "audioTranscription", "words", "word", "speaker", "speakerLabel", "finished", "languageCodes"),
        *("speechMetadata", "documentMetadata", "spreadsheetMetadata", "audioMetadata", "sampleRate", "bitRate"),
        *("startPage", "endPage", "sheetIndex", "visibleCells", "style", "mediaProcessing", "audio", "numTokens"),
        *("index", "confidence", "text", "title", "content", "bytesValue", "videoBytes"),
    ),
    **passes(
        _HISTORY,
        *("role", "thought", "thoughtSignature", "functionCall", "functionResponse", "executableCode"),
        *("codeExecutionResult", "toolCall", "toolResponse", "id", "name", "toolType", "scheduling", "signature"),
    ),
    **passes(
        "the definition of a tool",
        *("functionDeclarations", "description", "parameters", "parametersJsonSchema", "responseJsonSchema"),
        *("behavior", "type", "format", "nullable", "enum", "items", "maxItems", "minItems", "properties", "ref"),
        *("required", "propertyOrdering", "additionalProperties", "anyOf", "default", "defs", "example", "pattern"),
        *("maxLength", "minLength", "maxProperties", "minProperties", "maximum", "minimum", "computerUse"),
        *("environment", "excludedPredefinedFunctions", "disabledSafetyPolicies", "enablePromptInjectionDetection"),
        *("functionCallingConfig", "mode", "allowedFunctionNames", "streamFunctionCallArguments", "schema"),
        *("includeServerSideToolInvocations",),
    ),
    **passes(
        _SHAPES,
        *("category", "threshold", "method", "level", "includeThoughts", "thinkingBudget", "thinkingLevel"),
        *("prebuiltVoiceConfig", "voiceName", "speakerVoiceConfigs", "voiceConfig", "languageCode", "aspectRatio"),
        *("imageSize", "personGeneration", "prominentPeople", "imageOutputOptions", "outputMimeType"),
        *("outputCompressionQuality", "compressionQuality", "delivery", "image", "video", "resolution", "voice"),
        *("echoTargetLanguage", "targetLanguageCode", "alpha", "adaptationPhrases", "customVocabulary"),
        *("languageAuto", "languageHints", "diarization", "wordTimestamp", "retrievalConfig", "latLng", "latitude"),
        *("sourceText", "multiSpeakerVoiceConfig"),
        *("longitude", "mediaResolution", "ignoreCallHistory", "routing"),
    ),
    **each(
        Decision.POLICY,
        "a voice that is copied from a sample: content",
        *("replicatedVoiceConfig", "voiceSampleAudio", "consentAudio", "voiceConsentSignature"),
    ),
    "gcsUri": Member(Decision.REFUSE, "a store of the operator's account"),
    **passes("screens with templates in the operator's own account", "promptTemplateName", "responseTemplateName"),
    **each(
        Decision.REFUSE,
        "part of a member that is refused",
        *("autoMode", "manualMode", "modelRoutingPreference", "featureSelectionPreference", "outputUriPrefix"),
    ),
    **each(
        Decision.POLICY,
        _OF_TOOLS,
        *("codeExecution", "googleSearch", "googleMaps", "googleSearchRetrieval", "enterpriseWebSearch", "urlContext"),
        *("fileSearch", "retrieval", "exaAiSearch", "parallelAiSearch", "mcpServers", "searchTypes", "webSearch"),
        *("imageSearch", "timeRangeFilter", "excludeDomains", "blockingConfidence", "enableWidget", "authConfig"),
        *("apiAuth", "apiKey", "apiKeyConfig", "apiKeySecret", "apiKeySecretVersion", "apiKeyString", "authType"),
        *("googleServiceAccountConfig", "httpBasicAuthConfig", "oauthConfig", "oidcConfig", "serviceAccount"),
        *("accessToken", "idToken", "credentialSecret", "httpElementLocation", "dynamicRetrievalConfig"),
        *("dynamicThreshold", "fileSearchStoreNames", "topK", "metadataFilter", "disableAttribution", "externalApi"),
        *("apiSpec", "endpoint", "elasticSearchParams", "searchTemplate", "numHits", "simpleSearchParams"),
        *("vertexAiSearch", "dataStoreSpecs", "dataStore", "datastore", "engine", "filter", "maxResults"),
        *("vertexRagStore", "ragCorpora", "ragCorpus", "ragFileIds", "ragResources", "ragRetrievalConfig"),
        *("similarityTopK", "storeContext", "vectorDistanceThreshold", "vectorSimilarityThreshold", "hybridSearch"),
        *("ranking", "llmRanker", "rankService", "modelName", "customConfigs", "groundingTypes", "places"),
        *("contentLayers", "enableDataRetention", "enableZeroDataRetention", "streamableHttpTransport", "url"),
        *("headers", "timeout", "sseReadTimeout", "terminateOnClose", "expBase", "source"),
    ),
}  # fmt: skip
"""Nested members: those of contents, parts and tools. The readers of contents and tools carry out the refusals."""

SDK_ONLY: Final[Table] = passes(
    "an argument of the SDK that is not sent",
    *("httpOptions", "shouldReturnHttpResponse", "automaticFunctionCalling", "maximumRemoteCalls", "disable"),
    *("extraBody", "baseUrl", "baseUrlResourceScope", "apiVersion", "retryOptions", "attempts", "initialDelay"),
    *("maxDelay", "jitter", "httpStatusCodes", "clientArgs", "asyncClientArgs", "httpxClient", "httpxAsyncClient"),
    *("aiohttpClient", "uri", "sizeBytes", "sha256Hash", "createTime", "updateTime", "expirationTime", "state"),
    *("downloadUri", "error", "details", "message", "automaticContinuation"),
)
"""Fields that `google.genai` does not send: the drift gate must not take them for members."""

USAGE: Final[Table] = passes(
    "a count or a label of the usage that an answer states: read, or the record is marked as unpriced",
    *("cacheTokensDetails.modality", "cacheTokensDetails.tokenCount", "cachedContentTokenCount"),
    *("candidatesTokenCount", "candidatesTokensDetails.modality", "candidatesTokensDetails.tokenCount"),
    *("promptTokenCount", "promptTokensDetails.modality", "promptTokensDetails.tokenCount", "thoughtsTokenCount"),
    *("toolUsePromptTokenCount", "toolUsePromptTokensDetails.modality", "toolUsePromptTokensDetails.tokenCount"),
    *("totalTokenCount", "trafficType"),
)
"""Members of the usage that an answer states, by their path."""
