"""Settles requests: the settler for this process's own, the reaper for those of dead processes."""
