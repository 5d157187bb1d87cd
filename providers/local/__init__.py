"""Only for the local broker: engines on the user's machine, and what they are not sent."""
