"""The pipeline on a Kubernetes cluster: what its pods ask for, and the server that runs it."""
