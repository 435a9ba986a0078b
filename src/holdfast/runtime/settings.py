"""The shape of the configuration file: every setting, its type, its default and what it means.

The reference page is made from these classes, so a field without a description does not pass the tests.
It never reads a file; `runtime.config` does, and says which line is wrong.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct, field

from holdfast.core.money import Asset, AssetId, parse_units
from holdfast.core.networks import BitcoinNetwork, EvmNetwork, Network, erc20_asset, evm_network, known_network

Port = Annotated[int, Meta(ge=1, le=65535)]
PortOrOff = Annotated[int, Meta(ge=0, le=65535)]


class LogFormat(StrEnum):
    """How log lines are written."""

    JSON = "json"
    CONSOLE = "console"


class LogLevel(StrEnum):
    """The least important lines that are still written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class DatabaseSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where PostgreSQL is: the embedded one (the default), or any other by URL."""

    data_dir: Annotated[
        Path, Meta(description="Directory of the embedded PostgreSQL, which `holdfast serve` starts and stops.")
    ] = Path("data/database")
    url: Annotated[
        str | None,
        Meta(description="`postgresql://` URL of your own PostgreSQL, without a password; `data_dir` is then unused."),
    ] = None
    password_file: Annotated[
        Path | None, Meta(description="File with the password for `url`; only its owner may read it.")
    ] = None
    owner_url: Annotated[
        str | None,
        Meta(description="URL of the role that owns the tables, used by `holdfast migrate` and `backup` alone."),
    ] = None
    owner_password_file: Annotated[
        Path | None, Meta(description="File with the password for `owner_url`; only its owner may read it.")
    ] = None
    connections_max: Annotated[int, Meta(ge=2, le=500, description="Most connections that one process opens.")] = 16
    backup_dir: Annotated[
        Path, Meta(description="Where `holdfast backup` writes, and `doctor` looks for its last proof.")
    ] = Path("data/backups")


class ApiSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The HTTP API and the checkout pages."""

    host: Annotated[str, Meta(min_length=1, description="Address to listen on; put a TLS proxy in front of it.")] = (
        "127.0.0.1"
    )
    port: Annotated[Port, Meta(description="Port to listen on.")] = 8480
    workers: Annotated[int, Meta(ge=1, le=64, description="Processes that share the port.")] = 1
    public_url: Annotated[
        str, Meta(description="What payers and merchants call this server, as in `https://pay.example.org`.")
    ] = "http://127.0.0.1:8480"
    trusted_proxies: Annotated[
        list[str], Meta(description="Addresses whose `X-Forwarded-For` is believed; empty: nobody's.")
    ] = []
    requests_per_minute: Annotated[
        int,
        Meta(ge=0, description="Most requests by one API key, or one address without a key, per minute; 0: no limit."),
    ] = 6000


class FollowerSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The process that follows the networks."""

    metrics_port: Annotated[
        PortOrOff, Meta(description="Loopback port of its `/metrics`, `/health` and `/ready`; 0: none.")
    ] = 8481


class CourierSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The process that delivers webhooks."""

    metrics_port: Annotated[
        PortOrOff, Meta(description="Loopback port of its `/metrics`, `/health` and `/ready`; 0: none.")
    ] = 8482


class BroadcasterSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The process that sends what the signer signed, sees it mined, and compares chain, ledger and journal."""

    metrics_port: Annotated[
        PortOrOff, Meta(description="Loopback port of its `/metrics`, `/health` and `/ready`; 0: none.")
    ] = 8483


class SignerSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the signer is let in. It dials the platform; the platform never dials it."""

    token_file: Annotated[
        Path | None,
        Meta(description="File with the token that the signer shows; its own file has the same. None: no signer."),
    ] = None


class WatchtowerSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whom the platform asks how payouts stand, to tell merchants and payers. It is told; it decides nothing."""

    address: Annotated[
        str | None, Meta(description="`HOST:PORT` of the watchtower. None: the status page does not know of freezes.")
    ] = None


class FloatSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the company's float lies on a network: public data, as the officers' genesis order has it."""

    address: Annotated[str, Meta(description="The float key's own address, or the Float contract (EVM).")]
    owner: Annotated[
        str | None, Meta(description="EVM: the address of the float key itself, which holds gas alone.")
    ] = None
    vault_address: Annotated[
        str | None,
        Meta(description="Bitcoin family: the vault's own address that the float gives back to, as in the genesis."),
    ] = None
    cap: Annotated[
        dict[str, str],
        Meta(description='Most that the float shall hold, as in `"LTC" = "200"`: settlements fill up to it.'),
    ] = {}
    low: Annotated[dict[str, str], Meta(description='Below this a settlement is asked for, as in `"LTC" = "50"`.')] = {}


class NodeSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One node of a network. Its URL carries no credentials; a file does."""

    url: Annotated[str | None, Meta(description="`http://` or `https://` URL of its JSON-RPC port.")] = None
    url_file: Annotated[
        Path | None, Meta(description="File with the URL, for providers whose URL contains a key; instead of `url`.")
    ] = None
    cookie_file: Annotated[
        Path | None, Meta(description="The `.cookie` file that a Bitcoin-family node writes at its start.")
    ] = None
    rpcuser: Annotated[str | None, Meta(description="RPC user, where the node has no cookie file.")] = None
    rpcpassword_file: Annotated[
        Path | None, Meta(description="File with the RPC user's password; only its owner may read it.")
    ] = None


class ConfirmationRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many confirmations a deposit needs."""

    count: Annotated[int, Meta(ge=1, le=10_000, description="Confirmations; the block that contains it is the first.")]
    below: Annotated[
        str | None,
        Meta(description="For deposits below this amount of the asset; leave it out in the last rule."),
    ] = None


class PayoutFee(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a merchant pays for a payout: `LTC = { payout = "0.0004", line = "0.0001" }`."""

    payout: Annotated[str, Meta(description="For each payout, in whole coins of its asset.")]
    line: Annotated[str, Meta(description="And for each of its lines.")] = "0"


class TokenSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One listed ERC-20 token. Contracts that are not listed are nothing, whatever they call themselves."""

    contract: Annotated[str, Meta(description="Contract address, with its EIP-55 checksum.")]
    symbol: Annotated[str, Meta(min_length=1, max_length=16, description="Name shown to people.")]
    decimals: Annotated[int, Meta(ge=0, le=36, description="Decimal places of its smallest unit.")]


class NetworkSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One network, under its name: `[networks.litecoin]`. A name of your own needs `chain_id` and `symbol` (EVM)."""

    name: str
    """The table's own name; set by the reader, refused in the file."""
    nodes: Annotated[
        list[NodeSettings],
        Meta(min_length=1, description="Its nodes. Where there are several, all must agree before money is credited."),
    ]
    finality_depth: Annotated[
        int,
        Meta(
            ge=1, le=100_000, description="Depth beyond which a reorganisation stops the follower and calls a person."
        ),
    ] = 100
    confirmations: Annotated[
        list[ConfirmationRule],
        Meta(
            min_length=1,
            description="Confirmations by amount: the first rule whose `below` is above the deposit counts.",
        ),
    ] = field(default_factory=lambda: [ConfirmationRule(count=6)])
    minimum_deposits: Annotated[
        dict[str, str],
        Meta(
            description='Least deposit that is credited, as in `"LTC" = "0.0005"`: smaller ones cost more to spend '
            "than they are worth. They are shown."
        ),
    ] = {}
    payout_fees: Annotated[
        dict[str, PayoutFee],
        Meta(description='Where merchants pay for payouts: the fee by asset, as in `LTC = { payout = "0.0004" }`.'),
    ] = {}
    standing_minimums: Annotated[
        dict[str, str],
        Meta(
            description='Least that a standing order pays in a slot, as in `"LTC" = "0.01"`; else ten times its fee, '
            "and no less than the least deposit."
        ),
    ] = {}
    poll_milliseconds: Annotated[
        int, Meta(ge=50, le=600_000, description="How long the follower waits before it asks for a new block again.")
    ] = 2000
    descriptor: Annotated[
        str | None, Meta(description="Bitcoin family: the vault's watch-only multisig descriptor.")
    ] = None
    factory: Annotated[str | None, Meta(description="EVM: address of the forwarder factory.")] = None
    implementation: Annotated[str | None, Meta(description="EVM: address of the forwarder implementation.")] = None
    vault: Annotated[str | None, Meta(description="EVM: address of the vault (a Safe).")] = None
    tokens: Annotated[list[TokenSettings], Meta(description="EVM: the tokens that may be paid with.")] = []
    float: Annotated[
        FloatSettings | None, Meta(description="Where the float lies; None: nothing is paid out on this network.")
    ] = None
    chain_id: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(description="EVM network that is not built in: its EIP-155 chain id."),
    ] = None
    symbol: Annotated[
        Annotated[str, Meta(min_length=1, max_length=16)] | None,
        Meta(description="EVM network that is not built in: its coin's symbol."),
    ] = None
    test: Annotated[
        bool, Meta(description="EVM network that is not built in: whether its coins are worth nothing.")
    ] = False

    @property
    def network(self) -> Network:
        """The network's parameters. Raises `NetworkUnknown` (never after `config.load`)."""
        if self.chain_id is not None and self.symbol is not None:
            return evm_network(self.chain_id, self.name, self.symbol, is_test=self.test)
        return known_network(self.name)

    @property
    def assets(self) -> dict[AssetId, Asset]:
        """What may be paid with on this network: its coin and the listed tokens."""
        network = self.network
        assets = [network.coin]
        if isinstance(network, EvmNetwork):
            assets += [erc20_asset(network, token.contract, token.symbol, token.decimals) for token in self.tokens]
        return {asset.id: asset for asset in assets}

    def confirmations_for(self, units: int, asset: Asset) -> int:
        """How many confirmations a deposit of `units` smallest units of `asset` needs."""
        for rule in self.confirmations:
            if rule.below is None or units < parse_units(rule.below, asset.decimals):
                return rule.count
        return self.confirmations[-1].count

    @property
    def is_bitcoin(self) -> bool:
        """Whether it is of the Bitcoin family."""
        return isinstance(self.network, BitcoinNetwork)


class FeePayer(StrEnum):
    """Who pays for payouts."""

    MERCHANT = "merchant"
    COMPANY = "company"


class PayoutsSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What payouts cost."""

    fee: Annotated[
        FeePayer,
        Meta(
            description="Who pays for payouts: `company`, or `merchant`, for the fixed `payout_fees` of each network. "
            "What networks take is the company's to pay either way."
        ),
    ] = FeePayer.COMPANY


class RatesSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where exchange rates come from. Without enough agreeing sources there is no rate, and no quote."""

    sources: Annotated[
        list[str],
        Meta(
            description="Public sources to ask; the median of their answers is the rate: `kraken`, `coinbase`, "
            "`bitstamp`, `binance`, `bitfinex`, `coingecko`."
        ),
    ] = field(default_factory=lambda: ["kraken", "coinbase", "bitstamp", "bitfinex", "coingecko"])
    sources_min: Annotated[int, Meta(ge=1, le=16, description="Fewest sources that must have answered.")] = 3
    max_age_seconds: Annotated[int, Meta(ge=1, le=86_400, description="Oldest answer that still counts.")] = 120
    band_basis_points: Annotated[
        int, Meta(ge=1, le=10_000, description="How far from the median a source may lie and still count.")
    ] = 200
    fixed: Annotated[
        dict[str, str],
        Meta(description='Fixed rates instead of sources, as in `"LTC/EUR" = "85.00"`; only with `sources = []`.'),
    ] = {}
    symbols: Annotated[
        dict[str, str],
        Meta(description='Which coin prices another, as in `"rLTC" = "LTC"`: for test coins and tokens.'),
    ] = {}


class WebhooksSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How webhooks are delivered."""

    key_file: Annotated[
        Path, Meta(description="File with the key that encrypts endpoints' secrets in the database (32 bytes, hex).")
    ] = Path("secrets/webhook.key")
    timeout_seconds: Annotated[int, Meta(ge=1, le=120, description="Longest wait for a shop's answer.")] = 15
    give_up_after_hours: Annotated[
        int, Meta(ge=1, le=720, description="How long a delivery is tried again before it is given up.")
    ] = 96
    concurrency: Annotated[int, Meta(ge=1, le=1000, description="Most deliveries at the same time.")] = 64
    allow_private: Annotated[
        bool,
        Meta(
            description="Whether merchants may have endpoints in private networks: only where you trust each of them."
        ),
    ] = False


class LogsSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is logged, to standard error."""

    level: Annotated[LogLevel, Meta(description="Least important lines that are written.")] = LogLevel.INFO
    format: Annotated[LogFormat, Meta(description="`json` for machines, `console` for people.")] = LogFormat.JSON


class AssessmentSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `holdfast assess` holds the set-up against."""

    every_days: Annotated[
        int,
        Meta(ge=1, le=366, description="An assessment that is older is overdue: a finding, and a warning of `doctor`."),
    ] = 30
    advisories_dir: Annotated[
        Path, Meta(description="Directory of OSV JSON files: known vulnerabilities of dependencies.")
    ] = Path("advisories")
    advisories_days: Annotated[
        int, Meta(ge=1, le=366, description="Oldest that the advisories may be before they are a finding.")
    ] = 7
    key_days: Annotated[
        int,
        Meta(ge=1, le=3660, description="Oldest that float, journal and lease keys may be before they are a finding."),
    ] = 365
    officer_key_days: Annotated[
        int,
        Meta(ge=1, le=3660, description="Oldest that the officers' keys may be before they are a finding: none ends."),
    ] = 730
    api_key_days: Annotated[
        int, Meta(ge=1, le=366, description="Oldest that an API key may be before it is a finding.")
    ] = 180


_SCREENING_RULES = {"sanctioned": "refuse", "theft": "hold", "crime": "hold", "frozen": "hold", "mixer": "hold"}


class ScreeningSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What deposits and payouts are checked against before money moves on."""

    check_deposits: Annotated[bool, Meta(description="Check who sent a deposit before it is credited.")] = False
    check_payouts: Annotated[bool, Meta(description="Check a payout's destinations before the signer is shown it.")] = (
        False
    )
    labels_dir: Annotated[
        Path, Meta(description="Labels that count, as `holdfast labels add` keeps them; changes are live at once.")
    ] = Path("labels")
    cases_dir: Annotated[
        Path, Meta(description="Folder of traced cases: what lay at their addresses is known to be stolen.")
    ] = Path("cases")
    rules: Annotated[
        dict[str, str],
        Meta(description="What a kind of label leads to: `credit`, `hold` or `refuse`; other kinds lead to nothing."),
    ] = field(default_factory=lambda: dict(_SCREENING_RULES))
    confidence_min: Annotated[
        int, Meta(ge=0, le=100, description="Labels and steps less sure than this count for none.")
    ] = 50
    label_days_max: Annotated[
        int, Meta(ge=0, le=36_500, description="Labels that were said longer ago count for none; 0: however long ago.")
    ] = 0
    taint: Annotated[str, Meta(description="What money of a known theft leads to: `credit`, `hold` or `refuse`.")] = (
        "hold"
    )
    taint_hops_max: Annotated[
        int, Meta(ge=0, le=10_000, description="Further from the theft than this its money counts for none.")
    ] = 20
    taint_share_min_ppm: Annotated[
        int, Meta(ge=0, le=1_000_000, description="Least part of the theft in what came there, in parts of a million.")
    ] = 10_000
    unknown_sender: Annotated[
        str, Meta(description="What becomes of a deposit of which no node can tell the sender: `credit` or `hold`.")
    ] = "hold"


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    path: Path
    """The file they were read from; set by the reader, refused in the file."""
    quorum_file: Annotated[Path, Meta(description="The officers' quorum document (public keys and threshold).")] = Path(
        "quorum.json"
    )
    database: DatabaseSettings = DatabaseSettings()
    api: ApiSettings = ApiSettings()
    follower: FollowerSettings = FollowerSettings()
    courier: CourierSettings = CourierSettings()
    broadcaster: BroadcasterSettings = BroadcasterSettings()
    signer: SignerSettings = SignerSettings()
    watchtower: WatchtowerSettings = WatchtowerSettings()
    networks: dict[str, NetworkSettings]
    payouts: PayoutsSettings = PayoutsSettings()
    rates: RatesSettings = RatesSettings()
    webhooks: WebhooksSettings = WebhooksSettings()
    logs: LogsSettings = LogsSettings()
    assessment: AssessmentSettings = AssessmentSettings()
    screening: ScreeningSettings = ScreeningSettings()

    @property
    def directory(self) -> Path:
        """Where the file lies; relative paths in it start here."""
        return self.path.parent


SECTIONS: dict[str, type[msgspec.Struct]] = {
    "database": DatabaseSettings,
    "api": ApiSettings,
    "follower": FollowerSettings,
    "courier": CourierSettings,
    "broadcaster": BroadcasterSettings,
    "signer": SignerSettings,
    "watchtower": WatchtowerSettings,
    "networks.<name>": NetworkSettings,
    "payouts": PayoutsSettings,
    "rates": RatesSettings,
    "webhooks": WebhooksSettings,
    "logs": LogsSettings,
    "assessment": AssessmentSettings,
    "screening": ScreeningSettings,
}
"""Tables of the file, in the order of the reference page."""
