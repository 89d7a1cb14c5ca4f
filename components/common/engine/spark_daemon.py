"""The parent of an executor's Python processes: imports what they share before it forks them.

Spark's setting ``spark.python.daemon.module`` names it.
"""

import gc
import sys

# Spark puts its own archives first, and before each task drops what imports have cached: to read their tables of
# contents again takes 0.1 s. The same packages are installed.
sys.path[:] = [path for path in sys.path if not path.endswith(("pyspark.zip", "-src.zip", ".jar"))]
sys.path_importer_cache.clear()

import pandas  # noqa: E402, F401
import pyspark.sql.pandas.serializers  # noqa: E402, F401
from pyspark.daemon import manager  # noqa: E402

import components.common.engine.spark  # noqa: E402
import components.common.storage.parquet  # noqa: E402, F401

if __name__ == "__main__":
    # Garbage is collected after each task, and modules would be searched for it.
    gc.freeze()
    manager()
