"""The same questions put to other engines, from the same stored form, as their own manuals have it.

None of them has a taint policy. So FIFO and haircut stand beside plain Python; a pass in the order of rows is not what
a graph library or SQL is made for.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable

from holdfast.faces.bench.trace_chain import THEFTS, services
from holdfast.trace.engine.stored import Stored

_HOPS = 4


def python_fifo(stored: Stored) -> int:
    """Queues of parcels in plain Python."""
    flows = stored.flows()
    queues: dict[int, deque[list[int]]] = defaultdict(deque)
    thefts, carried = set(THEFTS), 0
    rows = zip(flows.source.tolist(), flows.target.tolist(), flows.low.tolist(), strict=True)
    for row, (source, target, units) in enumerate(rows):
        left, dirty_units, queue, ahead = units, 0, queues[source], queues[target]
        own = sum(parcel[0] for parcel in queue) if source == target else units
        while left:
            part, is_dirty = left, row in thefts
            if queue and own:
                parcel = queue[0]
                part, is_dirty = min(left, own, parcel[0]), bool(parcel[1]) or is_dirty
                own -= part
                parcel[0] -= part
                if not parcel[0]:
                    queue.popleft()
            left -= part
            dirty_units += part if is_dirty else 0
            if ahead and ahead[-1][1] == is_dirty:
                ahead[-1][0] += part
            else:
                ahead.append([part, is_dirty])
        carried += dirty_units > 0
    return carried


def python_haircut(stored: Stored) -> int:
    """Two sums a node in plain Python."""
    flows = stored.flows()
    lies, taint = [0] * flows.nodes, [0] * flows.nodes
    thefts, carried = set(THEFTS), 0
    rows = zip(flows.source.tolist(), flows.target.tolist(), flows.low.tolist(), strict=True)
    for row, (source, target, units) in enumerate(rows):
        moved = units
        if row in thefts:
            lies[source] = max(0, lies[source] - units)
            taint[source] = min(taint[source], lies[source])
        else:
            moved = 0
            if taint[source]:
                moved = taint[source] if units >= lies[source] else taint[source] * units // lies[source]
            lies[source] = max(0, lies[source] - units)
            taint[source] -= moved
        lies[target] += units
        taint[target] += moved
        carried += moved > 0
    return carried


def networkx_clusters(stored: Stored) -> int:
    """A graph built, and its components."""
    import networkx as nx

    graph = nx.Graph()
    graph.add_nodes_from(range(stored.facts.nodes))
    source, target = stored.ends()
    graph.add_edges_from(zip(source.tolist(), target.tolist(), strict=True))
    return int(nx.number_connected_components(graph))


def networkx_reach(stored: Stored) -> int:
    """A graph of transfers built, and a search forwards in time."""
    import networkx as nx

    graph = nx.MultiDiGraph()
    source, target = stored.ends()
    graph.add_edges_from(zip(source.tolist(), target.tolist(), range(len(source)), strict=True))
    return _search(lambda node: ((to, row) for _, to, row in graph.out_edges(node, keys=True)), stored)


def rustworkx_clusters(stored: Stored) -> int:
    """A graph built, and its components."""
    import rustworkx as rx

    graph = rx.PyGraph()
    graph.add_nodes_from(range(stored.facts.nodes))
    source, target = stored.ends()
    graph.add_edges_from_no_data(list(zip(source.tolist(), target.tolist(), strict=True)))
    return int(rx.number_connected_components(graph))


def rustworkx_reach(stored: Stored) -> int:
    """A graph of transfers built, and a search forwards in time."""
    import rustworkx as rx

    graph = rx.PyDiGraph()
    graph.add_nodes_from(range(stored.facts.nodes))
    source, target = stored.ends()
    graph.add_edges_from(list(zip(source.tolist(), target.tolist(), range(len(source)), strict=True)))
    return _search(lambda node: ((to, row) for _, to, row in graph.out_edges(node)), stored)


def _search(leaving: Callable[[int], Iterable[tuple[int, int]]], stored: Stored) -> int:
    stops = services(stored.facts.nodes)
    _, target = stored.ends()
    earliest: dict[int, int] = {}
    for row in THEFTS:
        earliest.setdefault(int(target[row]), row)
    wave = {node: row for node, row in earliest.items() if not stops[node]}
    found: set[int] = set()
    for _ in range(_HOPS):
        ahead: dict[int, int] = {}
        for node, since in wave.items():
            for to, row in leaving(node):
                if row <= since:
                    continue
                found.add(row)
                if not stops[to] and row < earliest.get(to, len(stored)):
                    earliest[to] = ahead[to] = row
        wave = ahead
    return len(found - set(THEFTS))


def duckdb_clusters(stored: Stored) -> int:
    """Least labels handed on to neighbours and through them until nothing changes, in SQL."""
    import duckdb

    db = duckdb.connect()
    edges = "SELECT DISTINCT least(source, target) a, greatest(source, target) b FROM read_parquet(?)"
    db.execute(f"CREATE TABLE e AS {edges} WHERE source <> target", [[str(path) for path in stored.files]])
    db.execute("CREATE TABLE c AS SELECT n::INTEGER n, n::INTEGER l FROM range(?) t(n)", [stored.facts.nodes])
    while True:
        db.execute(
            "CREATE OR REPLACE TABLE d AS SELECT n, min(l) l FROM ("
            " SELECT n, l FROM c UNION ALL SELECT e.b, c.l FROM e JOIN c ON c.n = e.a"
            " UNION ALL SELECT e.a, c.l FROM e JOIN c ON c.n = e.b) GROUP BY n"
        )
        db.execute("CREATE OR REPLACE TABLE d AS SELECT d.n, least(d.l, up.l) l FROM d JOIN d up ON up.n = d.l")
        [changed] = db.execute("SELECT count(*) FROM c JOIN d USING (n) WHERE c.l <> d.l").fetchone() or (0,)
        db.execute("CREATE OR REPLACE TABLE c AS FROM d")
        if not changed:
            return int((db.execute("SELECT count(*) FROM c WHERE n = l").fetchone() or (0,))[0])


def duckdb_reach(stored: Stored) -> int:
    """Waves of joins over the stored files."""
    import duckdb

    db = duckdb.connect()
    stops = int(services(stored.facts.nodes).sum())
    files = [str(path) for path in stored.files]
    db.execute(
        "CREATE TABLE t AS SELECT source, target, (row_number() OVER () - 1)::INTEGER r FROM read_parquet(?)", [files]
    )
    begin = (THEFTS.start, THEFTS.stop, stops)
    db.execute(
        "CREATE TABLE w AS SELECT target n, min(r) r FROM t WHERE r >= ? AND r < ? AND target >= ? GROUP BY 1", begin
    )
    db.execute("CREATE TABLE f AS SELECT 0 r LIMIT 0")
    for _ in range(_HOPS):
        db.execute("CREATE OR REPLACE TABLE x AS SELECT t.r, t.target FROM t JOIN w ON t.source = w.n AND t.r > w.r")
        db.execute("INSERT INTO f SELECT r FROM x")
        db.execute(
            "CREATE OR REPLACE TABLE w AS SELECT target n, min(r) r FROM x WHERE target >= ? GROUP BY 1", [stops]
        )
    query = "SELECT count(DISTINCT r) FROM f WHERE r < ? OR r >= ?"
    return int((db.execute(query, [THEFTS.start, THEFTS.stop]).fetchone() or (0,))[0])


TASKS: dict[str, Callable[[Stored], int]] = {
    each.__name__: each
    for each in (
        python_fifo, python_haircut, networkx_clusters, networkx_reach, rustworkx_clusters, rustworkx_reach,
        duckdb_clusters, duckdb_reach,
    )
}  # fmt: skip
