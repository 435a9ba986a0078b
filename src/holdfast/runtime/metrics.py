"""Every figure that Holdfast publishes to Prometheus, in one list; the reference page is made from it.

Labels are few and bounded (networks, routes, reasons): never a merchant, an address or an amount.
"""

from __future__ import annotations

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

REGISTRY = CollectorRegistry()
"""One per process; `/metrics` shows it."""

ProcessCollector(registry=REGISTRY)

HTTP_REQUESTS = Counter(
    "holdfast_http_requests", "Requests answered.", ["method", "route", "status"], registry=REGISTRY
)
HTTP_SECONDS = Histogram(
    "holdfast_http_seconds",
    "Time from a request's arrival to its answer.",
    ["route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
    registry=REGISTRY,
)
LEDGER_BATCHES = Counter("holdfast_ledger_batches", "Batches of transfers committed.", registry=REGISTRY)
LEDGER_TRANSFERS = Counter("holdfast_ledger_transfers", "Transfers, by outcome.", ["outcome"], registry=REGISTRY)
LEDGER_BATCH_SECONDS = Histogram(
    "holdfast_ledger_batch_seconds",
    "Time that one batch took to become durable.",
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2),
    registry=REGISTRY,
)
NETWORK_HEIGHT = Gauge(
    "holdfast_network_height", "Height up to which blocks are followed.", ["network"], registry=REGISTRY
)
NETWORK_TIP = Gauge("holdfast_network_tip", "Height that the network's nodes agree on.", ["network"], registry=REGISTRY)
NETWORK_LAG = Gauge("holdfast_network_lag_blocks", "Blocks that are not followed yet.", ["network"], registry=REGISTRY)
NETWORK_TROUBLE = Gauge(
    "holdfast_network_trouble", "1 while crediting waits, by the error's code.", ["network", "code"], registry=REGISTRY
)
NETWORK_REORGS = Counter("holdfast_network_reorgs", "Reorganisations walked back over.", ["network"], registry=REGISTRY)
DEPOSITS = Counter(
    "holdfast_deposits", "Deposits, by the state they came into.", ["network", "state"], registry=REGISTRY
)
INVOICES = Counter("holdfast_invoices", "Invoices, by the state they came into.", ["state"], registry=REGISTRY)
PAYOUTS = Counter("holdfast_payouts", "Payouts, by the state they came into.", ["state"], registry=REGISTRY)
ATTENTION_OPEN = Gauge("holdfast_attention_open", "Things that wait for a person.", ["reason"], registry=REGISTRY)
DELIVERIES = Counter("holdfast_deliveries", "Attempts to deliver a webhook.", ["outcome"], registry=REGISTRY)
DELIVERIES_WAITING = Gauge("holdfast_deliveries_waiting", "Webhooks not delivered yet.", registry=REGISTRY)
JOURNAL_SEQ = Gauge("holdfast_journal_seq", "Newest entry of the signer's journal mirrored here.", registry=REGISTRY)
BROADCASTS = Counter(
    "holdfast_broadcasts", "Transactions handed to nodes, by outcome.", ["network", "outcome"], registry=REGISTRY
)
TRANSACTIONS_WAITING = Gauge(
    "holdfast_transactions_waiting", "Signed transactions in no block yet.", ["network"], registry=REGISTRY
)
OUTFLOW_HEIGHT = Gauge(
    "holdfast_outflow_height", "Height up to which outflows are followed.", ["network"], registry=REGISTRY
)
RECONCILIATION_GAP = Gauge(
    "holdfast_reconciliation_gap", "1 where chain, ledger and journal differ, else 0.", ["asset"], registry=REGISTRY
)
RATE_AGE_SECONDS = Gauge("holdfast_rate_age_seconds", "Age of the rate last used.", ["pair"], registry=REGISTRY)
RATE_FAILURES = Counter(
    "holdfast_rate_failures", "Answers that a source of rates failed to give.", ["source"], registry=REGISTRY
)

CONTENT_TYPE = CONTENT_TYPE_LATEST


def exposition() -> bytes:
    """The page that Prometheus reads, of media type `CONTENT_TYPE`."""
    return generate_latest(REGISTRY)


def set_trouble(network: str, code: str | None) -> None:
    """Show why crediting waits on a network; None: it does not."""
    before = _trouble.pop(network, None)
    if before is not None and before != code:
        NETWORK_TROUBLE.remove(network, before)
    if code is not None:
        NETWORK_TROUBLE.labels(network, code).set(1)
        _trouble[network] = code


_trouble: dict[str, str] = {}
