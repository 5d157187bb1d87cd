"""What is logged and counted; only closed types can be."""
