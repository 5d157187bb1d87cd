"""Reading callers and answering them."""
