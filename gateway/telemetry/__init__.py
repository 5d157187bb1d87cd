"""The log and the metrics, which accept only closed types."""
