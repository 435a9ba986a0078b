"""Clusters of a whole chain on Apache Spark: the answer of `passes.clusters`, where one machine's memory ends.

Alternating stars (Kiveris and others, "Connected Components in MapReduce and Beyond", SoCC 2014): each node hands its
least neighbour to its greater ones, then to its lesser ones, until nothing changes; then every node points at the
least of its cluster. The edges are read from the same Parquet files, and the answer is written as Parquet.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from holdfast.core.errors import Unavailable

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

ROUNDS_MAX = 100
"""Each round at the least halves what is left of a path: far more than any chain needs."""
_PARTITIONS = 2


class SparkAbsent(Unavailable):
    """Spark or its Java runtime is missing here. Install the extra `spark` and a Java runtime, then run it again."""

    code = "spark-absent"
    retry = False


class ClustersUnfinished(Unavailable):
    """Spark's rounds did not come to an end. Run it again, and report the data if it happens twice."""

    code = "spark-clusters-unfinished"


@contextmanager
def local_spark(directory: Path, cores: int = 2, memory: str = "2g") -> Iterator[SparkSession]:
    """Spark inside this machine: bound to loopback, without its web pages. Raises `SparkAbsent`.

    `directory`: for what does not fit into memory. A cluster's own session does as well.
    """
    try:
        from pyspark.errors import PySparkRuntimeError
        from pyspark.sql import SparkSession
    except ImportError:
        raise SparkAbsent("pyspark") from None
    settings = {
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.memory": memory,
        "spark.local.dir": str(directory),
        "spark.sql.shuffle.partitions": str(_PARTITIONS),
        "spark.sql.warehouse.dir": str(directory / "warehouse"),
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
    }
    builder = SparkSession.builder.master(f"local[{cores}]").appName("holdfast")
    for name, value in settings.items():
        builder = builder.config(name, value)
    try:
        session = builder.getOrCreate()
    except (PySparkRuntimeError, FileNotFoundError) as error:
        raise SparkAbsent(str(error)[:100]) from None
    session.sparkContext.setLogLevel("ERROR")
    try:
        yield session
    finally:
        session.stop()


def clusters(session: SparkSession, files: Sequence[Path], target: Path) -> int:
    """By node that any transfer names, the smallest node of its cluster, written as Parquet (`node`, `cluster`).

    `files`: numbered transfers (`Stored.files`), on a file system that all of Spark reads. How many rounds it took.
    Raises `ClustersUnfinished`.
    """
    from pyspark.sql import functions as f

    rows = session.read.parquet(*(str(path) for path in files)).select("source", "target")
    nodes = rows.select(f.col("source").alias("node")).union(rows.select("target")).distinct()
    edges = rows.where("source <> target").select(
        f.greatest("source", "target").alias("above"), f.least("source", "target").alias("below")
    )
    edges = edges.distinct().localCheckpoint()
    before = None
    for number in range(1, ROUNDS_MAX + 1):
        edges = _small_star(_large_star(edges)).localCheckpoint()
        now = _sum(edges)
        if now == before:
            stars = edges.select(f.col("above").alias("node"), f.col("below").alias("cluster"))
            found = nodes.join(stars, "node", "left").select("node", f.coalesce("cluster", "node").alias("cluster"))
            found.write.mode("overwrite").parquet(str(target))
            return number
        before = now
    raise ClustersUnfinished(f"after {ROUNDS_MAX} rounds")


def _large_star(edges: DataFrame) -> DataFrame:
    """Every node's greater neighbours are joined to the least of all its neighbours and itself."""
    from pyspark.sql import functions as f

    both = edges.select(f.col("above").alias("node"), f.col("below").alias("other")).union(
        edges.select("below", "above")
    )
    least = both.groupBy("node").agg(f.least(f.min("other"), f.col("node")).alias("least"))
    joined = both.where("other > node").join(least, "node")
    return joined.select(f.col("other").alias("above"), f.col("least").alias("below")).distinct()


def _small_star(edges: DataFrame) -> DataFrame:
    """Every node and its lesser neighbours are joined to the least of these."""
    from pyspark.sql import functions as f

    least = edges.groupBy("above").agg(f.min("below").alias("least"))
    lesser = edges.join(least, "above").where("below > least").select(f.col("below").alias("above"), "least")
    own = least.select("above", "least")
    return lesser.union(own).select("above", f.col("least").alias("below")).distinct()


def _sum(edges: DataFrame) -> tuple[int, int, int]:
    """What does not change any more once the rounds are over."""
    from pyspark.sql import functions as f

    row = edges.agg(
        f.count("*").alias("n"), f.sum(f.col("above").cast("decimal(20,0)")).alias("a"),
        f.sum(f.xxhash64("above", "below").cast("decimal(38,0)")).alias("h"),
    ).first()  # fmt: skip
    return (0, 0, 0) if row is None or row["n"] == 0 else (int(row["n"]), int(row["a"]), int(row["h"]))
