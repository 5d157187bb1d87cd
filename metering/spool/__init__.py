"""What must still be reported to the ledger, on disk until the store has it."""
