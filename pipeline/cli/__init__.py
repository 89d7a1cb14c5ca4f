"""The ``recap`` command line: one module per command or group. Heavy packages are imported inside commands."""

from pipeline.cli.app import main

__all__ = ["main"]
