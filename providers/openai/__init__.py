"""OpenAI's APIs: requests, answers and usage, and Chat Completions for the hub."""
