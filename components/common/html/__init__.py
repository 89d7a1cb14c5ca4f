"""Self-contained HTML pages and charts."""
