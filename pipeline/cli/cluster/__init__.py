"""Commands for a Kubeflow Pipelines server: ``compile``, ``submit``, ``runs``, ``release``, ``schedule``."""
