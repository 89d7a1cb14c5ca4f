"""The steps of the pipeline, a folder each; nothing is re-exported, since a name would shadow its folder.

Nothing is sent to anybody who was not named: the telemetry of MLflow and of Great Expectations is off unless the
environment asks for it. They read these variables when they are imported, so this comes before.
"""

import os

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("GX_ANALYTICS_ENABLED", "False")
