"""Training in one or several processes of this machine."""
