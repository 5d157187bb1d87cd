"""Real coding agents against a real gateway and the provider simulator: ``make agents``."""
