"""Open the engine that a config names."""

from pathlib import Path

from components.common.engine.protocol import Engine
from components.common.runtime.process_pool import cores
from recap_model.config.data.engine import EngineConfig, SparkEngineConfig


def open_engine(
    settings: EngineConfig, processes: int | None = None, spill_folder: Path | None = None
) -> Engine:
    """The engine of ``data.engine``, for use as a context manager.

    Nothing is started before the first verb, which raises ModuleNotFoundError, ConnectionError or ValueError if Spark
    is not installed, not reachable, or of another version.

    Args:
        processes: the local engine's, as many as pay for their start; one for each core if None. Spark
            ignores it, and the results do not depend on it.
        spill_folder: an existing folder of this machine for the local engine's temporary files, which are as large as
            the rows that are exchanged; the system's (TMPDIR) if None.
    """
    # Imported here: pyspark is an extra, and a step that runs on it needs nothing of the other.
    if isinstance(settings, SparkEngineConfig):
        from components.common.engine.spark import SparkEngine

        return SparkEngine(settings.master, settings.conf)
    from components.common.engine.local import LocalEngine

    return LocalEngine(processes or cores(), spill_folder)
