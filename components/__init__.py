"""The steps of the pipeline, a folder each; nothing is re-exported, since a name would shadow its folder.

Libraries read the environment when they are imported, so it is set here, before any of them. The telemetry of MLflow
and Great Expectations is off unless the environment turns it on. A user without a home folder, as in some containers,
gets a path that does not exist.
"""

import os
from pathlib import Path

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("GX_ANALYTICS_ENABLED", "False")
try:
    Path.home()
except RuntimeError:
    os.environ["HOME"] = "/nonexistent"  # Debian's for such users; a folder in /tmp could be somebody else's
