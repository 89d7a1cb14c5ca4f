"""Resolve and freeze a run's inputs: config, window, log files, champion."""
