"""What is owed to the ledger, on disk until the store has it."""
