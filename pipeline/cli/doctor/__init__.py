"""``recap doctor``: checks of this machine, the registry and the cluster."""
