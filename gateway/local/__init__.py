"""The broker for the user's own machine, without cloud, account or store."""
