"""Commands that compare configs without registering anything."""
