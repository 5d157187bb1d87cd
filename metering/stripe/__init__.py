"""Sends charges to Stripe's meters, and knows each account's customer there."""
