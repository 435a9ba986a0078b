"""The clusters of a chain on Spark are those of the engine that is built in."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet as pq
import pytest

from holdfast.trace.engine.passes import clusters
from holdfast.trace.engine.stored import Stored, Writer
from holdfast.trace.flows import flows_of

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[SparkSession]":
    pytest.importorskip("pyspark", reason="the extra `spark` is not installed")
    if shutil.which("java") is None:
        pytest.skip("Spark needs a Java runtime: install default-jre-headless")
    from holdfast.trace.engine.spark import local_spark

    with local_spark(tmp_path_factory.mktemp("spark")) as running:
        yield running


def chain(directory: Path, pairs: list[tuple[int, int]], nodes: int) -> Stored:
    writer = Writer(directory)
    half = len(pairs) // 2
    for part in (pairs[:half], pairs[half:]):
        writer.append(flows_of([(left, right, 1) for left, right in part], nodes))
    return writer.close()


def on_spark(session: "SparkSession", stored: Stored, directory: Path) -> dict[int, int]:
    from holdfast.trace.engine import spark

    spark.clusters(session, stored.files, directory)
    table = pq.read_table(directory)
    return dict(zip(table["node"].to_pylist(), table["cluster"].to_pylist(), strict=True))


def test_spark_finds_the_same_clusters_of_many_small_and_some_large_ones(
    session: "SparkSession", tmp_path: Path
) -> None:
    random = np.random.default_rng(5)
    nodes = 6_000
    pairs = (random.random((4_000, 2)) ** 2 * nodes).astype(int).tolist()
    path = [(at + 1, at) for at in range(nodes, nodes + 60)]  # the worst for rounds: one long line, backwards
    stored = chain(tmp_path / "chain", [(left, right) for left, right in pairs] + path, nodes + 61)
    there = on_spark(session, stored, tmp_path / "found")
    here = clusters(stored)
    source, target = stored.ends()
    named = set(source.tolist()) | set(target.tolist())
    assert there == {node: int(here[node]) for node in named}
    assert len(set(there.values())) > 200
    assert max(np.bincount(list(there.values()))) > 200


def test_a_node_that_only_pays_itself_is_its_own_cluster(session: "SparkSession", tmp_path: Path) -> None:
    stored = chain(tmp_path / "chain", [(3, 3), (1, 2), (2, 1), (4, 1)], 5)
    assert on_spark(session, stored, tmp_path / "found") == {1: 1, 2: 1, 3: 3, 4: 1}


def test_spark_answers_to_nobody_but_this_machine(session: "SparkSession") -> None:
    settings = session.sparkContext.getConf()
    assert settings.get("spark.driver.bindAddress") == "127.0.0.1"
    assert settings.get("spark.ui.enabled") == "false"
    assert session.sparkContext.uiWebUrl is None
