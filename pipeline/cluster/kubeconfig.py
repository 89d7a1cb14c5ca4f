"""The Kubernetes client's configuration."""

from contextlib import suppress

from kubernetes import config


def load_kubeconfig() -> bool:
    """Configure the client from a kubeconfig or the pod's service account; False if there is neither."""
    for load in (config.load_kube_config, config.load_incluster_config):
        with suppress(config.ConfigException):
            load()
            return True
    return False
