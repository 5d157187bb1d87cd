"""Hardening: how a process confines itself at its start and hides its memory."""
