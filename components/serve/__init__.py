"""Serve a version of the registry over HTTP, follow its alias, and deploy it on KServe."""
