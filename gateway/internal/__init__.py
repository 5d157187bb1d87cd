"""The operator's listener: health, metrics and the API for services."""
