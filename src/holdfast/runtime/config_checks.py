"""What a type cannot say about settings: addresses, URLs, files, and settings that exclude each other.

It looks at files but never into those with secrets, and never talks to anybody; `holdfast doctor` does.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from holdfast.core.addresses import parse_address as parse_on
from holdfast.core.descriptors import VaultDescriptor
from holdfast.core.errors import HoldfastError
from holdfast.core.evm import parse_address
from holdfast.core.money import parse_units
from holdfast.core.networks import BitcoinNetwork, EvmNetwork, NetworkUnknown
from holdfast.runtime.config_errors import (
    FileMissing,
    SettingHoldsSecret,
    SettingMalformed,
    SettingMissing,
    SettingsContradict,
    SettingUnknown,
)
from holdfast.runtime.secret_files import check_secret
from holdfast.runtime.settings import FeePayer, FloatSettings, NetworkSettings, NodeSettings, Settings
from holdfast.runtime.toml_lines import SettingPath, Source

_PAIR = re.compile(r"[A-Za-z0-9.]{1,16}/[A-Z]{3}")
_RATE = re.compile(r"(0|[1-9][0-9]*)(\.[0-9]{1,12})?")


def check(source: Source, settings: Settings) -> None:
    """Raise the first error that these settings have. See `config.load`."""
    _check_files(source, settings)
    _check_database(source, settings)
    _check_api(source, settings)
    _check_ports(source, settings)
    _check_rates(source, settings)
    for name, network in settings.networks.items():
        _check_network(source, ("networks", name), network)
    _check_payout_fees(source, settings)


def secret_files(settings: Settings) -> Iterator[tuple[SettingPath, Path]]:
    """Every file that the settings name for a secret, but for nodes' cookies: those come and go with the node."""
    yield ("webhooks", "key_file"), settings.webhooks.key_file
    if settings.signer.token_file:
        yield ("signer", "token_file"), settings.signer.token_file
    if settings.database.password_file:
        yield ("database", "password_file"), settings.database.password_file
    if settings.database.owner_password_file:
        yield ("database", "owner_password_file"), settings.database.owner_password_file
    for name, network in settings.networks.items():
        for index, node in enumerate(network.nodes):
            at: SettingPath = ("networks", name, "nodes", index)
            if node.url_file:
                yield (*at, "url_file"), node.url_file
            if node.rpcpassword_file:
                yield (*at, "rpcpassword_file"), node.rpcpassword_file


def _check_files(source: Source, settings: Settings) -> None:
    if not settings.quorum_file.is_file():
        raise FileMissing(f"{source.where(('quorum_file',))}: {settings.quorum_file}")
    for setting, path in secret_files(settings):
        check_secret(path, source.where(setting))


def _check_database(source: Source, settings: Settings) -> None:
    database = settings.database
    for name, url in (("url", database.url), ("owner_url", database.owner_url)):
        if url is not None:
            _url(source, ("database", name), url, ("postgresql", "postgres"))
    for needs, needed in (("password_file", "url"), ("owner_password_file", "owner_url"), ("owner_url", "url")):
        if getattr(database, needs) is not None and getattr(database, needed) is None:
            raise SettingsContradict(f"{source.where(('database', needs))} needs `{needed}` beside it")


def _check_api(source: Source, settings: Settings) -> None:
    url = _url(source, ("api", "public_url"), settings.api.public_url, ("http", "https"))
    if url.path not in {"", "/"} or url.query or url.fragment:
        raise SettingMalformed(f"{source.where(('api', 'public_url'))}: expected scheme and host only")
    for proxy in settings.api.trusted_proxies:
        try:
            ipaddress.ip_network(proxy)
        except ValueError:
            where = source.where(("api", "trusted_proxies"))
            raise SettingMalformed(f"{where}: {proxy[:60]!r} is not an IP address or network") from None


def _check_ports(source: Source, settings: Settings) -> None:
    taken: dict[int, str] = {settings.api.port: "api.port"}
    zones = (
        ("follower", settings.follower.metrics_port),
        ("courier", settings.courier.metrics_port),
        ("broadcaster", settings.broadcaster.metrics_port),
    )
    for zone, port in zones:
        if port and port in taken:
            where = source.where((zone, "metrics_port"))
            raise SettingsContradict(f"{where}: {taken[port]} has port {port} already; take another")
        taken[port] = f"{zone}.metrics_port"


def _check_rates(source: Source, settings: Settings) -> None:
    rates = settings.rates
    if rates.fixed and rates.sources:
        where = source.where(("rates", "fixed"))
        raise SettingsContradict(
            f"{where}: fixed rates and sources exclude each other; write `sources = []` or drop it"
        )
    if not rates.fixed and not rates.sources:
        raise SettingMissing(f"{source.where(('rates', 'sources'))}: name sources, or choose `fixed` rates")
    if rates.sources and rates.sources_min > len(rates.sources):
        where = source.where(("rates", "sources_min"))
        raise SettingsContradict(f"{where}: {rates.sources_min} of {len(rates.sources)} sources can never answer")
    for pair, rate in rates.fixed.items():
        at = source.where(("rates", "fixed", pair))
        if _PAIR.fullmatch(pair) is None:
            raise SettingMalformed(f'{at}: expected "COIN/CURRENCY", as in "LTC/EUR"')
        if _RATE.fullmatch(rate) is None or not rate.strip("0."):
            raise SettingMalformed(f'{at}: expected a decimal number above 0 of at most 12 places, as in "85.00"')


def _check_payout_fees(source: Source, settings: Settings) -> None:
    is_merchants = settings.payouts.fee is FeePayer.MERCHANT
    for name, network in settings.networks.items():
        at: SettingPath = ("networks", name, "payout_fees")
        if network.payout_fees and not is_merchants:
            raise SettingsContradict(f"{source.where(at)}: merchants pay none while `payouts.fee` is `company`")
        missing = {asset.symbol for asset in network.assets.values()} - set(network.payout_fees)
        if is_merchants and missing:
            raise SettingMissing(
                f"{source.where(('networks', name))}: add `payout_fees` for {', '.join(sorted(missing))}"
            )


def _check_network(source: Source, at: SettingPath, settings: NetworkSettings) -> None:
    if (settings.chain_id is None) != (settings.symbol is None):
        raise SettingsContradict(f"{source.where(at)}: a network of your own needs both `chain_id` and `symbol`")
    try:
        network = settings.network
    except NetworkUnknown:
        raise SettingUnknown(
            f"{source.where(at)}: no network has this name; an EVM network of your own needs `chain_id` and `symbol`"
        ) from None
    for index, node in enumerate(settings.nodes):
        _check_node(source, (*at, "nodes", index), node)
    _check_confirmations(source, at, settings)
    _check_minimums(source, at, settings)
    _check_vault(source, at, settings, is_evm=isinstance(network, EvmNetwork))
    if settings.float is not None:
        _check_float(source, (*at, "float"), settings, settings.float)


def _check_node(source: Source, at: SettingPath, node: NodeSettings) -> None:
    if (node.url is None) == (node.url_file is None):
        raise SettingsContradict(f"{source.where(at)}: a node needs `url` or `url_file`, not both")
    if node.url is not None:
        _url(source, (*at, "url"), node.url, ("http", "https"))
    if (node.rpcuser is None) != (node.rpcpassword_file is None):
        raise SettingsContradict(f"{source.where(at)}: `rpcuser` and `rpcpassword_file` go together")
    if node.cookie_file and node.rpcuser:
        raise SettingsContradict(f"{source.where(at)}: keep `cookie_file` or `rpcuser`, not both")


def _check_confirmations(source: Source, at: SettingPath, settings: NetworkSettings) -> None:
    rules = settings.confirmations
    before = 0
    for index, rule in enumerate(rules):
        where = source.where((*at, "confirmations", index))
        if (rule.below is None) != (index == len(rules) - 1):
            raise SettingsContradict(f"{where}: every rule but the last needs `below`, and the last must not have it")
        if rule.count > settings.finality_depth:
            raise SettingsContradict(f"{where}: `count` is above `finality_depth` ({settings.finality_depth})")
        if rule.below is not None:
            before = _ascending(where, rule.below, before)


def _check_minimums(source: Source, at: SettingPath, settings: NetworkSettings) -> None:
    decimals = {asset.symbol: asset.decimals for asset in settings.assets.values()}
    amounts = [(("minimum_deposits", symbol), text) for symbol, text in settings.minimum_deposits.items()]
    amounts += [(("standing_minimums", symbol), text) for symbol, text in settings.standing_minimums.items()]
    for symbol, fee in settings.payout_fees.items():
        amounts += [(("payout_fees", symbol), text) for text in (fee.payout, fee.line)]
    for inside, text in amounts:
        _amount(source.where((*at, *inside)), text, decimals, inside[-1])


def _ascending(where: str, below: str, before: int) -> int:
    try:
        units = parse_units(below, 36)
    except HoldfastError as error:
        raise SettingMalformed(f"{where}: `below` is {error.title().removesuffix('.').lower()}") from None
    if units <= before:
        raise SettingsContradict(f"{where}: `below` must rise from rule to rule")
    return units


def _check_vault(source: Source, at: SettingPath, settings: NetworkSettings, *, is_evm: bool) -> None:
    wanted = ("factory", "implementation", "vault") if is_evm else ("descriptor",)
    foreign = ("descriptor",) if is_evm else ("factory", "implementation", "vault", "chain_id", "symbol")
    for name in wanted:
        if getattr(settings, name) is None:
            raise SettingMissing(f"{source.where(at)}: add `{name}`; `holdfast vault` makes it")
    for name in foreign:
        if getattr(settings, name) is not None:
            raise SettingsContradict(f"{source.where((*at, name))} has no meaning on this network; remove it")
    if is_evm:
        _check_contracts(source, at, settings)
    else:
        _check_descriptor(source, at, settings)
    if settings.tokens and not is_evm:
        raise SettingsContradict(f"{source.where((*at, 'tokens'))} has no meaning on this network; remove it")


def _check_float(source: Source, at: SettingPath, settings: NetworkSettings, given: FloatSettings) -> None:
    network = settings.network
    needed, foreign = ("vault_address", "owner") if isinstance(network, BitcoinNetwork) else ("owner", "vault_address")
    if getattr(given, needed) is None:
        raise SettingMissing(f"{source.where(at)}: add `{needed}`, as the genesis order has it")
    if getattr(given, foreign) is not None:
        raise SettingsContradict(f"{source.where((*at, foreign))} has no meaning on this network; remove it")
    for name in ("address", needed):
        where, address = source.where((*at, name)), getattr(given, name)
        try:
            is_canonical = parse_on(network, address) == address
        except HoldfastError as error:
            raise SettingMalformed(f"{where}: {address[:80]!r}: {error.title()} {error.remedy()}") from None
        if not is_canonical:
            raise SettingMalformed(f"{where}: write it as {parse_on(network, address)}, once you have compared it")
    decimals = {asset.symbol: asset.decimals for asset in settings.assets.values()}
    for name in ("cap", "low"):
        for symbol, text in getattr(given, name).items():
            _amount(source.where((*at, name, symbol)), text, decimals, symbol)


def _amount(where: str, text: str, decimals: dict[str, int], symbol: str) -> None:
    """Raises unless it is an amount of an asset that the network has."""
    if symbol not in decimals:
        raise SettingUnknown(f"{where}: this network has {', '.join(decimals)}")
    try:
        parse_units(text, decimals[symbol])
    except HoldfastError as error:
        raise SettingMalformed(f"{where}: {text[:40]!r}: {error.title()} {error.remedy()}") from None


def _check_contracts(source: Source, at: SettingPath, settings: NetworkSettings) -> None:
    written = [(name, getattr(settings, name)) for name in ("factory", "implementation", "vault")]
    named: list[tuple[SettingPath, str]] = [((*at, name), address) for name, address in written]
    named += [((*at, "tokens", index, "contract"), token.contract) for index, token in enumerate(settings.tokens)]
    seen: set[str] = set()
    for setting, address in named:
        where = source.where(setting)
        try:
            canonical = parse_address(address)
        except HoldfastError as error:
            said = error.title().removesuffix(".")
            raise SettingMalformed(f"{where}: {address[:60]!r}: {said}. {error.remedy()}") from None
        if address == address.lower():
            raise SettingMalformed(
                f"{where}: write the address with its checksum, {canonical}, once you have compared it"
            )
        if canonical in seen:
            raise SettingsContradict(f"{where}: {canonical} is named above already")
        seen.add(canonical)


def _check_descriptor(source: Source, at: SettingPath, settings: NetworkSettings) -> None:
    network, descriptor = settings.network, settings.descriptor
    if not isinstance(network, BitcoinNetwork) or descriptor is None:
        return
    where = source.where((*at, "descriptor"))
    if re.search(r"[a-zA-Z]prv[1-9A-HJ-NP-Za-km-z]{50}", descriptor):
        raise SettingHoldsSecret(f"{where}: an extended private key")
    try:
        VaultDescriptor.parse(descriptor).address(0, network)
    except HoldfastError as error:
        raise SettingMalformed(f"{where}: {error.detail}: {error.title()} {error.remedy()}") from None


def _url(source: Source, setting: SettingPath, url: str, schemes: tuple[str, ...]) -> SplitResult:
    where = source.where(setting)
    try:
        parts = urlsplit(url)
        has_host = bool(parts.hostname) or (schemes[0] == "postgresql" and parts.scheme in schemes)
        _ = parts.port
    except ValueError:
        raise SettingMalformed(f"{where}: not a URL") from None
    if parts.password is not None or (parts.username is not None and schemes[0] != "postgresql"):
        raise SettingHoldsSecret(where)
    if re.search(r"(?i)(^|[?&;])[^=&]*(password|passwd|secret|token|api_?key|apikey)[^=&]*=", parts.query):
        raise SettingHoldsSecret(where)
    if parts.scheme not in schemes or not has_host:
        raise SettingMalformed(f"{where}: expected a URL that begins with {schemes[0]}://")
    return parts
