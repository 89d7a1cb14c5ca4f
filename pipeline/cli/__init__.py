"""The command line, ``recap``: a module for each group of commands; heavy imports happen inside commands."""

from pipeline.cli.app import main

__all__ = ["main"]
