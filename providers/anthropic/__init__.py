"""Anthropic's Messages API: requests, answers and usage, and its reader and writer for the hub."""
