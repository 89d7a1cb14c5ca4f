"""The pipeline on a Kubernetes cluster: compilation, pod resources, and the server that runs it."""
