"""Errors of Spark: what a kernel raised on an executor is raised on the driver, the rest is explained in one line."""

import base64
import pickle
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

from recap_model.config.reading.errors import in_one_line

_MARK = re.compile(r"recap-kernel-error:([A-Za-z0-9+/=]+):")
_EXECUTORS = "spark.executor.memory and spark.executor.memoryOverhead in data.engine.conf"
# What Spark says, and what it means, with what to do.
_CAUSES = {
    r"JAVA_GATEWAY_EXITED": (
        "its Java could not be started, and its own line in the log says why; JAVA_HOME has to be a JRE of version "
        "17 or 21, and memory in data.engine.conf a size such as 4g"
    ),
    r"PYTHON_VERSION_MISMATCH|different (minor )?version in worker": (
        "executors run another version of Python than the driver; run both from the same image"
    ),
    r"ModuleNotFoundError: No module named '(components|recap_model|pyarrow|numpy)": (
        "executors lack Recap or its dependencies; run them from the image of the step, and set PYSPARK_PYTHON to "
        "its Python"
    ),
    r"Cannot run program": "executors have no Python where the driver has it; run them from the image of the step",
    r"InvalidClassException|incompatible|serialVersionUID": (
        "the master runs another version of Spark; install the pyspark of its version, or change the cluster's"
    ),
    r"Max number of executor failures": (
        "executors could not be started, or were lost too often; look at their pods: the image, its pull secret, the "
        "nodes' memory"
    ),
    r"spark\.driver\.maxResultSize": (
        "the results of all tasks are larger than the driver takes; raise spark.driver.maxResultSize, and "
        "spark.driver.memory with it, in data.engine.conf"
    ),
    r"OutOfMemoryError|Java heap space|exit(ed with)? code 137|OOMKilled|Container killed": (
        f"an executor ran out of memory; raise {_EXECUTORS}"
    ),
    r"ExecutorLostFailure|Python worker exited unexpectedly|Worker died|executor .* lost": (
        f"executors were lost, probably out of memory; raise {_EXECUTORS}, and run again"
    ),
    r"No space left on device": "an executor's disk is full; give it more room under spark.local.dir",
    r"All masters are unresponsive|Connection refused|UNAVAILABLE|SparkContext was shut down|stopped SparkContext": (
        "the master does not answer; check that it runs, can be reached and has pyspark's version, and run again"
    ),
}


class SparkError(ChildProcessError):
    """Spark ended the work; the message says why, and what to do."""


def shipping_errors(
    work: Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]], batches: Iterable[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """Run work on an executor; an error is raised with its pickle in the text, which the driver gets."""
    try:
        yield from work(batches)
    except Exception as error:
        try:
            pickled = base64.b64encode(pickle.dumps(error)).decode()
        except (TypeError, AttributeError, pickle.PicklingError):
            raise error from None
        raise RuntimeError(f"recap-kernel-error:{pickled}: {error}") from error


@contextmanager
def explained(master: str) -> Iterator[None]:
    """Raise what a kernel raised on an executor, and SparkError for an error of Spark itself."""
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    try:
        yield
    except (PySparkException, Py4JError, ConnectionError) as error:
        text = str(error)
        if shipped := _MARK.search(text):
            raise _unpickled(shipped[1]) from None
        for pattern, cause in _CAUSES.items():
            if re.search(pattern, text):
                raise SparkError(f"{master}: {cause}") from None
        raise SparkError(f"{master}: {in_one_line(error)[:300]}; see Spark's log") from None


def _unpickled(text: str) -> BaseException:
    error: Any = pickle.loads(base64.b64decode(text))
    return error if isinstance(error, BaseException) else SparkError(str(error))
