"""Names of the container images that the steps run in, one for each kind of step."""

DATA = "recap-data:latest"
TRAINER = "recap-trainer:latest"
REGISTRY = "recap-registry:latest"
