"""Builds a release: wheel, source archive, bill of materials and manifest. The wheel does not contain this folder."""
