"""Load a registered version as its users do, and compare its scores with those that evaluate recorded."""
