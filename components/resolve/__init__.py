"""Freeze what could move: the config, the window, the log's files, the champion."""
