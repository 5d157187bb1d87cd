"""Usage for Stripe's meters, and the customers there."""
