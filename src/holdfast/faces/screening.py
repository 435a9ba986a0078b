"""Screening put together for a running platform: labels and cases on disk, nodes that tell senders, the policy.

Payments asks it by two functions and knows nothing of labels. What lies on disk is looked at again at every question
(a glance at file times), so an address that a peer added counts at once, without a restart.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import msgspec
import structlog

from holdfast.chains.bitcoin import BitcoinNode
from holdfast.chains.evm import EvmNode
from holdfast.chains.senders import SendersUnknown, Sent, bitcoin_senders, evm_senders
from holdfast.core.errors import BadInput, HoldfastError
from holdfast.core.networks import BitcoinNetwork
from holdfast.payments.deposits import Deposit
from holdfast.payments.nodes import open_one
from holdfast.runtime.clock import Clock
from holdfast.runtime.settings import NetworkSettings, ScreeningSettings, Settings
from holdfast.trace.labels.shelf import KeptBook, ShelfUnreadable
from holdfast.trace.model import LabelKind, Trace
from holdfast.trace.screening import (
    Exposures,
    LabelRule,
    Policy,
    Screened,
    TaintRule,
    Verdict,
    exposures_of,
    judge,
    screen,
    strictest,
)

log = structlog.get_logger()

SendersOf = Callable[[Deposit], Awaitable[Sequence[str]]]
"""Who sent a deposit. Raises `SendersUnknown` and what nodes raise."""


class ScreeningMisconfigured(BadInput):
    """A setting of `[screening]` names no kind of label, or no verdict. Write one that the detail lists."""

    code = "screening-misconfigured"


def policy_of(settings: ScreeningSettings) -> Policy:
    """The policy that the settings mean. Raises `ScreeningMisconfigured`."""
    rules = tuple(
        LabelRule(
            kind=_one_of(LabelKind, kind, "rules"),
            verdict=_one_of(Verdict, verdict, f"rules.{kind}"),
            confidence_min=settings.confidence_min,
            days_max=settings.label_days_max,
        )
        for kind, verdict in settings.rules.items()
    )
    taint = TaintRule(
        verdict=_one_of(Verdict, settings.taint, "taint"),
        hops_max=settings.taint_hops_max,
        share_min_ppm=settings.taint_share_min_ppm,
        confidence_min=settings.confidence_min,
    )
    return Policy(labels=rules, taint=(taint,), unknown=_one_of(Verdict, settings.unknown_sender, "unknown_sender"))


T = TypeVar("T", LabelKind, Verdict)


def _one_of(kinds: type[T], text: str, setting: str) -> T:
    try:
        return kinds(text)
    except ValueError:
        raise ScreeningMisconfigured(f"{setting}: {text[:40]!r} is none of {', '.join(kinds)}") from None


@dataclass(slots=True)
class Screening:
    """What deposits and payouts are held against. One per process."""

    book: KeptBook
    cases_dir: Path
    policy: Policy
    clock: Clock
    senders: SendersOf
    close: Callable[[], Awaitable[None]] | None = None
    """Lets go of the nodes that it asks."""
    exposures: Exposures = field(default_factory=Exposures)
    _cases: dict[Path, int] = field(default_factory=dict)

    async def deposit(self, deposit: Deposit) -> str | None:
        """Why a deposit must be held, or None: `payments.steps.Screen`."""
        self._refresh()
        found = []
        try:
            senders = await self.senders(deposit)
        except HoldfastError as error:
            senders = ()
            if self.policy.unknown is not Verdict.CREDIT:
                found.append(
                    Screened(self.policy.unknown, f"nobody can tell who sent it: {error.detail or error.code}")
                )
        at = int(self.clock.now().timestamp())
        found.append(screen(self.book, self.exposures, self.policy, [(deposit.network, one) for one in senders], at))
        if deposit.transaction is not None:
            brought = self.exposures.of_transaction(deposit.network, deposit.transaction, deposit.address)
            found.append(judge((), brought, self.policy, at))
        decided = strictest(found)
        return None if decided.verdict is Verdict.CREDIT else decided.why

    def refuses(self, network: str, destinations: Sequence[str]) -> str | None:
        """Why a payout to these is not taken on, or None: `payments.ordering.Refuses`."""
        decided = self._payout(network, destinations)
        return decided.why if decided.verdict is Verdict.REFUSE else None

    def holds(self, network: str, destinations: Sequence[str]) -> str | None:
        """Why a payout to these waits for a person, or None: `payments.held_payouts.ScreenPayout`."""
        decided = self._payout(network, destinations)
        return None if decided.verdict is Verdict.CREDIT else decided.why

    def _payout(self, network: str, destinations: Sequence[str]) -> Screened:
        self._refresh()
        at = int(self.clock.now().timestamp())
        return screen(self.book, self.exposures, self.policy, [(network, one) for one in destinations], at)

    def _refresh(self) -> None:
        """Takes in what changed on disk. What cannot be read is said, and what was known before goes on counting."""
        try:
            if self.book.refresh():
                log.info("labels_read", labels=len(self.book), refused=self.book.refused_by_reason())
        except ShelfUnreadable as error:
            log.error("labels_unreadable", detail=error.detail)  # noqa: TRY400  the error says it all
        marks = {path: path.stat().st_mtime_ns for path in self.cases_dir.glob("*/trace.json")}
        if marks == self._cases:
            return
        found = []
        for path in sorted(marks):
            try:
                found += exposures_of(path.parent.name, msgspec.json.decode(path.read_bytes(), type=Trace))
            except msgspec.DecodeError as error:
                log.error("case_unreadable", case=path.parent.name, detail=str(error))  # noqa: TRY400  the message says it all
        self.exposures, self._cases = Exposures(found), marks
        log.info("cases_read", cases=len(marks), addresses=len(self.exposures))


def open_screening(settings: Settings, clock: Clock) -> Screening:
    """The platform's screening, asking the nodes that it is configured with. Raises `ScreeningMisconfigured`."""
    of = settings.screening
    senders = NodeSenders([one for one in settings.networks.values() if one.nodes])
    return Screening(KeptBook(of.labels_dir), of.cases_dir, policy_of(of), clock, senders.of, senders.close)


class NodeSenders:
    """Asks configured nodes who sent a deposit: the first that answers (Bitcoin family: its bytes are proof), or what
    any of them says (EVM)."""

    def __init__(self, networks: Sequence[NetworkSettings]) -> None:
        """They connect when they are first asked."""
        self._networks = {str(each.network.id): each.network for each in networks}
        self._nodes = {
            str(each.network.id): [
                node
                for number, one in enumerate(each.nodes, 1)
                if isinstance(node := open_one(each.network, one, number), BitcoinNode | EvmNode)
            ]
            for each in networks
        }

    async def of(self, deposit: Deposit) -> Sequence[str]:
        """The senders. Raises `SendersUnknown`."""
        if deposit.transaction is None:
            raise SendersUnknown("its transaction is not known, only that the balance grew")
        token = deposit.asset.rpartition(":")[2] if "/erc20:" in deposit.asset else None
        sent = Sent(deposit.transaction, deposit.block_hash, deposit.address, token)
        found: list[str] = []
        failed: list[str] = []
        network = self._networks.get(deposit.network)
        for node in self._nodes.get(deposit.network, ()):
            try:
                if isinstance(network, BitcoinNetwork):
                    return await bitcoin_senders(node.rpc, network, sent)
                found += await evm_senders(node.rpc, sent)
            except HoldfastError as error:
                failed.append(f"{node.name}: {error.detail or error.code}")
        if not found:
            raise SendersUnknown("; ".join(failed)[:400] or "no node is configured")
        return tuple(dict.fromkeys(found))

    async def close(self) -> None:
        """Lets go of the connections."""
        for nodes in self._nodes.values():
            for node in nodes:
                await node.close()
