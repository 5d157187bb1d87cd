"""Usage, prices, the ledger in the store, and its readers."""
