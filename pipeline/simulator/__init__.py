"""A simulated engagement log: users, authors and posts with latent interests, and what they do."""

from pipeline.simulator.parameters import SampleParameters
from pipeline.simulator.writer import SampleReport, extend_log, is_sample_log, write_log

__all__ = ["SampleParameters", "SampleReport", "extend_log", "is_sample_log", "write_log"]
