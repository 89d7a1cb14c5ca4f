"""The steps wired together, the command line, the sample log, the configs."""
