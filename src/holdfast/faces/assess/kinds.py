"""The severity table: every kind of finding there is. The reference page is made from it, and nothing else weighs."""

from __future__ import annotations

from holdfast.faces.assess import kinds_of_keys, kinds_of_money, kinds_of_set_up
from holdfast.faces.assess.severities import Kind

GROUPS: dict[str, tuple[Kind, ...]] = {
    "Who holds what": kinds_of_keys.KINDS,
    "Grants, limits and balances": kinds_of_money.KINDS,
    "Zones, settings, dependencies and the assessment itself": kinds_of_set_up.KINDS,
}
KINDS: dict[str, Kind] = {kind.code: kind for kinds in GROUPS.values() for kind in kinds}
