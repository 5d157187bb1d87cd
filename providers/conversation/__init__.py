"""The hub between dialects: one small model of a request and of an answer's events."""
