"""The operator's listener: health, metrics, the console and the API for services."""
