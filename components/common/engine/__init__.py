"""Engines that run data work: processes of this machine, or Spark.

A step writes kernels over Arrow record batches once, and an engine schedules them, by two verbs (`Engine`):

- **map**: items (groups of the log's files, say) to states, merged in the items' order;
- **exchange**: rows of all items by shard number to sinks, which write them where they arrive.

Both engines give the same results, bit for bit, for any number of processes or executors. A third engine is one more
file with these two methods, and a case in `open_engine`.
"""

from components.common.engine.open_engine import open_engine
from components.common.engine.protocol import Engine, Exchanged, Sink, ToShards

__all__ = ["Engine", "Exchanged", "Sink", "ToShards", "open_engine"]
