"""Types of single fields: names, numbers, URIs."""
