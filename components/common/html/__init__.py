"""Self-contained HTML pages: templates, tables and charts."""
