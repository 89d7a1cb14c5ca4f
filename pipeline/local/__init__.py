"""The pipeline on this machine, by kfp's local runners."""
