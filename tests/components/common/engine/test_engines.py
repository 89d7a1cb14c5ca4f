"""Both verbs on both engines: the same results, and errors in one line."""

import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from pyspark.errors import PySparkException

from components.common.engine import Engine, open_engine
from components.common.engine.local import LocalEngine
from components.common.engine.spark import SparkEngine
from components.common.engine.spark_errors import SparkError, explained
from recap_model.config.data.engine import LocalEngineConfig
from tests.components.common.engine import work
from tests.spark import local_spark


@pytest.fixture(scope="module")
def spark() -> Iterator[Engine]:
    with local_spark() as engine:
        yield engine


@pytest.fixture(params=["local 1", "local 3", "spark"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    if request.param == "spark":
        yield request.getfixturevalue("spark")
        return
    with LocalEngine(int(request.param.split()[1]), tmp_path) as engine:
        yield engine
    assert not list(tmp_path.iterdir()), "temporary files are left"


def test_states_are_merged_in_the_order_of_the_items(engine: Engine):
    reported: list[int] = []
    merged = engine.map(list(range(8)), work.square, work.concatenate, reported.append)
    assert merged == [number * number for number in range(8)]
    assert reported[-1] == 8


def test_no_zip_file_is_read_again_before_each_task(engine: Engine):
    assert engine.map([0, 1], work.zip_importers, work.concatenate) == []


@pytest.mark.parametrize("keys", [(), ("user", "text")])
def test_a_shard_gets_its_rows_bit_for_bit_by_key_and_then_in_the_order_of_the_items(
    engine: Engine, keys: tuple[str, ...]
):
    state, results = work.exchanged(engine, keys)
    assert state == list(range(work.ITEMS))
    assert [result and result[0] for result in results] == [0, 1, 2, 3, 4, 5, None]
    for shard, content in results[:-1]:
        rows = pa.ipc.open_stream(content).read_all()
        wanted = work.expected(shard, keys)
        assert rows.drop_columns("pair").equals(wanted.drop_columns("pair"))
        pairs, bits = (
            table["pair"].combine_chunks().flatten().to_numpy().view("uint32") for table in (rows, wanted)
        )
        assert (pairs == bits).all()


def test_an_exchange_of_more_than_the_buffer_keeps_every_row(engine: Engine, monkeypatch: pytest.MonkeyPatch):
    whole = work.exchanged(engine, ("user",))
    monkeypatch.setattr("components.common.engine.pieces._BUFFER_BYTES", 10_000)
    monkeypatch.setattr("components.common.engine.pieces._PIECE_BYTES", 1_000)
    assert work.exchanged(engine, ("user",)) == whole


def test_what_a_kernel_or_sink_raises_is_raised(engine: Engine):
    missing = r"^part-5.parquet: no such file; run resolve again$"
    with pytest.raises(FileNotFoundError, match=missing):
        engine.map(list(range(7)), work.fail_at_five, work.concatenate)
    with pytest.raises(FileNotFoundError, match=missing):
        work.exchanged(engine, send=work.send_and_fail)
    with pytest.raises(OSError, match="No space left on device: 'shard-") as raised:
        engine.exchange([1, 2], work.send, work.SHARDS, work.FailingSink)
    assert raised.value.errno == 28


def test_a_shard_number_out_of_range_is_an_error(engine: Engine):
    with pytest.raises(IndexError, match=r"^shard numbers from 0 to 5; there are 2 shards$"):
        engine.exchange([1], work.send, 2, work.Collect)


def test_a_process_that_is_killed_is_one_line_and_leaves_no_file(tmp_path: Path):
    spill = tmp_path / "spill"
    spill.mkdir()
    kernel = work.DieOnce(tmp_path / "died")
    with (
        pytest.raises(ChildProcessError, match=r"^a process that reads the log was killed"),
        LocalEngine(2, spill) as engine,
    ):
        work.exchanged(engine, send=kernel)
    assert not list(spill.iterdir())
    with LocalEngine(2, spill) as engine:
        assert work.exchanged(engine, send=kernel) == work.exchanged(engine)


def test_the_local_engine_has_the_processes_that_it_is_told_and_starts_none_for_one():
    with open_engine(LocalEngineConfig(), processes=1) as engine:
        pids = engine.map([0, 1], _pid, work.concatenate)
    assert pids == [os.getpid()] * 2


def _pid(item: int) -> list[int]:
    return [os.getpid()]


@pytest.mark.parametrize(
    ("master", "error", "message"),
    [
        ("spark://127.0.0.1:1", ConnectionError, "data.engine.master spark://127.0.0.1:1 cannot be reached"),
        ("sc://127.0.0.1:1", (ConnectionError, ModuleNotFoundError), "cannot be reached|needs grpcio"),
    ],
)
def test_a_master_that_is_not_there_is_one_line(master: str, error: type[Exception], message: str):
    with pytest.raises(error, match=message) as raised, SparkEngine(master, {}) as engine:
        engine.map([1], work.count, work.concatenate)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        (
            "[JAVA_GATEWAY_EXITED] Java gateway process exited before sending its port number.",
            "JAVA_HOME has",
        ),
        (
            "[PYTHON_VERSION_MISMATCH] Python in worker has different version: 3.10 than that in driver: 3.11",
            "another version of Python",
        ),
        ("ModuleNotFoundError: No module named 'components'", "executors lack Recap"),
        ("InvalidClassException: o.a.s.rpc.Message; local class incompatible", "another version of Spark"),
        ("All masters are unresponsive! Giving up.", "has pyspark's version"),
        ("Executor heartbeat: java.lang.OutOfMemoryError: Java heap space", r"spark\.executor\.memory "),
        ("ExecutorLostFailure (executor 3 exited) Reason: Command exited with code 137", "ran out of memory"),
        (
            "Total size of results is bigger than spark.driver.maxResultSize (1024.0 MiB)",
            r"raise spark\.driver",
        ),
        ("java.io.IOException: No space left on device", "disk is full"),
        ("what nobody has seen\nat org.apache.spark.Thing", "what nobody has seen.*see Spark's log"),
    ],
)
def test_what_spark_says_is_one_line_with_what_to_do(said: str, cause: str):
    with (
        pytest.raises(SparkError, match=rf"^spark://m:7077: .*{cause}") as raised,
        explained("spark://m:7077"),
    ):
        raise PySparkException(f"Job aborted due to stage failure: {said}\n\tat java.base/java.lang.Thread")
    assert "\n" not in str(raised.value)


def test_without_java_or_pyspark_the_engine_is_one_line(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", "")
    with (
        pytest.raises(ModuleNotFoundError, match="there is no Java; install a JRE"),
        SparkEngine("local[2]", {}) as engine,
    ):
        engine.map([1], work.count, work.concatenate)
    monkeypatch.setitem(__import__("sys").modules, "pyspark", None)
    with (
        pytest.raises(ModuleNotFoundError, match=r"pyspark is not installed; install recap\[spark\]"),
        SparkEngine("local[2]", {}) as engine,
    ):
        engine.map([1], work.count, work.concatenate)
