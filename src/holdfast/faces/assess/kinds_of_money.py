"""Findings about grants that expire, limits and balances. Rows of the severity table."""

from __future__ import annotations

from holdfast.faces.assess.severities import Kind, Severity

CRITICAL, HIGH, MEDIUM, LOW, INFO = Severity

KINDS = (
    Kind(
        "certificate-expired", MEDIUM, LOW,
        "The certificate of {subject} ({name}) ended on {until}.",
        "He gets no more addresses and his payouts wait.",
        "`POST /v1/merchants/{subject}/renewals`, then let the officers sign what `holdfast vault certify` shows.",
    ),
    Kind(
        "certificate-expires-soon", LOW, INFO,
        "The certificate of {subject} ({name}) ends on {until}, in {days} days.",
        "Officers need days to meet; from that day he gets no address and no payout.",
        "`POST /v1/merchants/{subject}/renewals`, then let the officers sign what `holdfast vault certify` shows.",
    ),
    Kind(
        "certificate-long", LOW, INFO,
        "The certificate of {subject} ({name}) counts for {days} more days.",
        "A grant of years is looked at by nobody until it is misused.",
        "Certify for a year: `holdfast vault certify` with a nearer expiry.",
    ),
    Kind(
        "merchant-key-vetoed", HIGH, MEDIUM,
        "A key change of {subject} was vetoed, and nobody has decided.",
        "Either somebody tried to enrol his own key as the merchant's, or the merchant cannot work.",
        "Call the merchant over a known number; his recovery key or `holdfast vault order decide` ends it.",
    ),
    Kind(
        "policy-missing", HIGH, LOW,
        "No signed policy was found: there is nothing that limits, and so nothing is paid out.",
        "No loss bound can be computed.",
        "Write one, check it by `holdfast policy check FILE`, let the officers sign it and hand it in.",
    ),
    Kind(
        "policy-expired", HIGH, LOW,
        "The policy ended on {until}: nothing is paid out.",
        "Under that pressure the next one is signed unread.",
        "`holdfast policy check NEW --against OLD`, then let the officers sign the next version.",
    ),
    Kind(
        "policy-expires-soon", MEDIUM, LOW,
        "The policy ends on {until}, in {days} days.",
        "From that day nothing is paid out.",
        "`holdfast policy check NEW --against OLD`, then let the officers sign the next version.",
    ),
    Kind(
        "policy-not-reviewed", LOW, INFO,
        "The policy in force was taken {days} days ago.",
        "Balances, prices and merchants have changed since; limits that nobody reads again are not limits any more.",
        "`holdfast policy explain`, with the officers, and sign the next version.",
    ),
    Kind(
        "allow-list-forgotten", MEDIUM, LOW,
        "The allow-list names {subject} for a merchant who is {state}.",
        "A destination with wider limits, for somebody who does not exist any more: Ronin's forgotten grant.",
        "Leave it out of the next policy.",
    ),
    Kind(
        "allow-list-long", LOW, INFO,
        "The allow-list names {subject} for {days} more days.",
        "Exchanges change their deposit addresses; a grant of a year outlives its reason.",
        "Give it a nearer `expires_at` in the next policy.",
    ),
    Kind(
        "standing-order-long", LOW, INFO,
        "The standing order {subject} of {holder} goes on for {days} more days.",
        "It pays without anybody's key until then.",
        "Ask the merchant to stop it by his signature and sign a nearer one.",
    ),
    Kind(
        "standing-order-of-closed-merchant", MEDIUM, LOW,
        "The standing order {subject} is active, and its merchant {holder} is closed.",
        "A delegation that outlives its giver.",
        "Ask the merchant to stop it; what he still has is paid out by a single payout.",
    ),
    Kind(
        "delays-below-floor", HIGH, INFO,
        "`{subject}` of the policy is {seconds} seconds; for real money no less than {floor} loads.",
        "The delay is the time in which an officer or a merchant can still say no.",
        "`{subject} = {floor}` in the next policy.",
    ),
    Kind(
        "float-above-cap", HIGH, LOW,
        "The float of {subject} holds {held}, its cap is {cap}.",
        "The cap is what the company said it is ready to lose.",
        "A cap sweep brings the rest to the vault; see that `cap-sweep` has a budget in the policy and signs.",
    ),
    Kind(
        "cap-differs", MEDIUM, LOW,
        "The configuration fills the float of {subject} to {configured}, the policy caps it at {cap}.",
        "Settlements are asked for that the checking machine refuses, or officers get used to raising the cap.",
        "Set `cap` of the network's `float` to the policy's `float_cap`.",
    ),
    Kind(
        "limit-not-binding", MEDIUM, LOW,
        "The limit of {subject} lets {burst} out at once, and the float's cap is {cap}.",
        "The limit never stops anything before the float is empty: a colluding merchant takes all of it in one step.",
        "Lower `total.burst` in the next policy; a third of the cap is a good beginning.",
    ),
    Kind(
        "limit-fast", MEDIUM, INFO,
        "In an hour {out} of {subject} can leave, more than half of the float's cap ({cap}).",
        "An hour is what it takes until somebody is awake and has read what happened.",
        "Lower `total.burst` and `total.per_day` in the next policy.",
    ),
    Kind(
        "approvals-missing", MEDIUM, LOW,
        "No payout of {subject}, however large, needs an officer's approval.",
        "The largest payouts are the ones a thief makes first.",
        "Give `approvals` to the asset in the next policy.",
    ),
    Kind(
        "merchant-limit-above-total", LOW, INFO,
        "{holder} alone may order out {units} of {subject} at once, more than the limit of all merchants.",
        "One stolen merchant's key stops the payouts of all others.",
        "Lower the merchant's limit in the next policy.",
    ),
    Kind(
        "reconciliation-gap", CRITICAL, HIGH,
        "Chain and books of {subject} differ: {said}.",
        "Money has moved that nobody accounts for, or is owed that is not there.",
        "`holdfast freeze --why gap` if nobody can explain it; `GET /v1/reconciliation` has the parts.",
    ),
    Kind(
        "reconciliation-old", HIGH, LOW,
        "Chain and books of {subject} were last compared {hours} hours ago.",
        "A theft is not seen for as long.",
        "See that `holdfast serve broadcaster` runs and its node answers: `holdfast doctor`.",
    ),
    Kind(
        "reconciliation-missing", MEDIUM, INFO,
        "Chain and books of {subject} have never been compared.",
        "Nothing says that the money which the ledger knows is there.",
        "`holdfast serve broadcaster`; it compares at every block.",
    ),
)  # fmt: skip
