"""One request, from its authenticated head to its settlement."""
