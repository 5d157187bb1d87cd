"""Builds a release (wheel, source archive, bill of materials, manifest), the documentation's site and its reference.

The wheel does not contain this folder.
"""
