"""The sections of the steps: validation, training, calibration, evaluation, registry."""
