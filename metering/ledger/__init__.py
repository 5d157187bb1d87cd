"""Credits, holds and records, as atomic calls on the store."""
