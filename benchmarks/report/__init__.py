"""From results in JSON to one self-contained HTML page, and to PNG files where matplotlib is installed."""
