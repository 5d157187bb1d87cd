"""What only the local broker needs: engines on the user's machine and what they are not sent."""
