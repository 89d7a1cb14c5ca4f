"""The steps of the pipeline, a folder each; nothing is re-exported, since a name would shadow its folder.

Libraries read the environment when they are imported, so it is prepared here, before any. Nothing is sent to anybody
who was not named: the telemetry of MLflow and of Great Expectations is off unless the environment asks for it. Where
a user has no home folder, as one of a container may, they are given one that is not there.
"""

import os
from pathlib import Path

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("GX_ANALYTICS_ENABLED", "False")
try:
    Path.home()
except RuntimeError:
    os.environ["HOME"] = "/nonexistent"  # Debian's for such users; a folder in /tmp could be somebody else's
