"""What the handlers work with: the parts that `main` puts together, one of each in a process."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

from litestar import Request
from litestar.di import NamedDependency
from litestar.params import SkipValidation
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from holdfast.faces.api.callers import Acting, Doorkeeper
from holdfast.faces.api.invoice_batches import InvoiceBatches
from holdfast.faces.api.payout_batches import PayoutBatches
from holdfast.faces.web.live import LiveHub
from holdfast.payments.held_payouts import ScreenPayout
from holdfast.payments.invoicing import Desk
from holdfast.runtime.clock import Clock
from holdfast.runtime.health import Health
from holdfast.runtime.settings import Settings

Pool: TypeAlias = AsyncConnectionPool[AsyncConnection[Any]]
ApiRequest: TypeAlias = Request[Any, Acting, Any]


@dataclass(frozen=True, slots=True)
class Quorum:
    """The officers' quorum as this platform knows it: certificates are checked against it."""

    document: bytes
    fingerprint: str


@dataclass(frozen=True, slots=True)
class AllParts:
    """Everything that a handler may need."""

    settings: Settings
    pool: Pool
    desk: Desk
    clock: Clock
    doorkeeper: Doorkeeper
    invoice_batches: InvoiceBatches
    payout_batches: PayoutBatches
    quorum: Quorum | None
    """None: there is no quorum file yet, so nobody can be certified."""
    webhook_key: bytes = field(repr=False)
    """Encrypts endpoints' secrets in the database."""
    health: Health
    live_hub: LiveHub
    screen_payout: ScreenPayout | None = None
    """What keeps payouts from the signer; None: nothing does."""

    @property
    def public_url(self) -> str:
        """What payers and merchants call this server, without a slash at the end."""
        return self.settings.api.public_url.rstrip("/")


Parts: TypeAlias = NamedDependency[SkipValidation[AllParts]]
"""The parts as a handler's parameter."""
