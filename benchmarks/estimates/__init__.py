"""How near the estimates come to what providers report, on recorded traffic."""
