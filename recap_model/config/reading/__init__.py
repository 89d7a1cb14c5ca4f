"""From YAML to a checked config, with every error at once."""
