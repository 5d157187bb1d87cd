"""The broker for the user's own machine: it knows no cloud, no account and no store."""
