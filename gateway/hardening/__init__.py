"""What a process does to itself, so that it gives nothing away."""
