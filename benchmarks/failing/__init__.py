"""What callers feel of a provider's bad day: of two targets one fails, in every way and at several shares."""
