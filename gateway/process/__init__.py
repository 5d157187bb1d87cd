"""What runs in each process: the supervisor, its workers, and what they are built from."""
