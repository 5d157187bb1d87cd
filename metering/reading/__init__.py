"""Usage for its readers: pages, cursors and consumers."""
