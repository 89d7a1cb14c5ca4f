"""Commands for the model registry: ``models``, ``promote``, ``rollback``, ``gate``."""
