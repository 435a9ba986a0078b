"""Findings about who holds what: the quorum, keystores, API keys. Rows of the severity table."""

from __future__ import annotations

from holdfast.faces.assess.severities import Kind, Severity

CRITICAL, HIGH, MEDIUM, LOW, INFO = Severity

KINDS = (
    Kind(
        "quorum-of-one", CRITICAL, MEDIUM,
        "One officer alone can move the vault and change the policy ({officers} officers, threshold 1).",
        "One stolen key, one threatened person or one dishonest one is enough for every merchant's money.",
        "Make a quorum of at least 2 of 3 by `holdfast vault quorum`, and move the vault to it by a migration order.",
    ),
    Kind(
        "quorum-minority", HIGH, LOW,
        "{threshold} of {officers} officers are enough: two groups that do not know of each other can both act.",
        "Below a majority a minority can vote money away while the others look elsewhere.",
        "Make a quorum whose threshold is more than half by `holdfast vault quorum`; the vault moves by a migration.",
    ),
    Kind(
        "quorum-without-spare", MEDIUM, INFO,
        "All {officers} officers must sign: one lost key ends settlements, restores and certificates for ever.",
        "Loss of a key is more frequent than theft, and nothing replaces one that everything needs.",
        "Add officers so that the threshold is below their number: `holdfast vault quorum`, then a migration.",
    ),
    Kind(
        "vault-keys-online", CRITICAL, INFO,
        "{count} officers' keystores lie on this host, and {threshold} are enough for the vault ({subject}).",
        "The promise that no online machine can move merchants' money rests on these files being elsewhere.",
        "Move each keystore to its officer's own offline machine and delete it here, with its copies in backups.",
    ),
    Kind(
        "officer-key-online", HIGH, INFO,
        "{count} officer's keystore lies on this host ({subject}).",
        "It is one of the {threshold} that move the vault; an intruder here needs only its passphrase.",
        "Move it to the officer's own offline machine and delete it here, with its copies in backups.",
    ),
    Kind(
        "secret-exposed", CRITICAL, HIGH,
        "Others than its owner may read {subject} (mode {mode}).",
        "Any account of this host can copy it, and nothing will show that it did.",
        "`chmod 600 {subject}`, then replace what is in it: it must count as stolen.",
    ),
    Kind(
        "directory-writable", CRITICAL, HIGH,
        "Others may write in {subject} (mode {mode}).",
        "Who can replace the configuration can replace the vault's descriptor in it, and show payers his addresses.",
        "`chmod go-w {subject}`",
    ),
    Kind(
        "keystore-cheap", MEDIUM, INFO,
        "{subject} is sealed at a cost of {cost}, below {wanted}.",
        "A stolen copy can be guessed at {times} times the speed.",
        "Make the key anew with the default cost, and replace the old one where it counts.",
    ),
    Kind(
        "float-keys-in-software", MEDIUM, INFO,
        "The float's keys are in a keystore whose passphrase lies on the same host.",
        "Who becomes the signer's user copies them once, and spends the float from elsewhere, past every limit.",
        "Put the keys into a hardware module: `[hsm]` in {subject}, then `holdfast rotate float`.",
    ),
    Kind(
        "lease-key-in-software", LOW, INFO,
        "The watchtower's lease key is in a keystore whose passphrase lies on the same host.",
        "A copy lets a stolen signer go on after the watchtower has said stop.",
        "Keep the watchtower on a host of its own with full-disk encryption; re-anchor with a fresh key after a theft.",
    ),
    Kind(
        "freeze-keys-missing", MEDIUM, LOW,
        "Nobody but the officers can freeze: `freeze_keys` in {subject} is empty.",
        "Officers' keys are offline and far; the person on duty at night must be able to stop payouts within a minute.",
        "`holdfast vault key freeze NAME --out DIR` for each person on duty, and its public key into `freeze_keys`.",
    ),
    Kind(
        "presence-not-asked-for", LOW, INFO,
        "Payouts go on although nobody has been there for days: `present_seconds` in {subject} is 0.",
        "CoinsPaid was robbed on a Saturday: what nobody is there to see should not go on by itself.",
        "`present_seconds = 259200`, and `holdfast present` by whoever is on duty.",
    ),
    Kind(
        "root-fingerprint-differs", CRITICAL, HIGH,
        "{subject} obeys the quorum {theirs}, the configuration has {ours}.",
        "Somebody else's officers may order what the signer signs or the watchtower allows.",
        "Compare the root fingerprint with the officers by voice; correct the wrong file, and ask who changed it.",
    ),
    Kind(
        "key-old", MEDIUM, INFO,
        "The {subject} is {days} days old; `[assessment] key_days` is {days_max}.",
        "The longer a key lives, the more copies of it there are, and the more people have left who could hold one.",
        "{how}",
    ),
    Kind(
        "officers-keys-old", MEDIUM, INFO,
        "The {subject} are at least {days} days old and have no end; `[assessment] officer_key_days` is {days_max}.",
        "Nothing takes back what an officer holds: one who left, or whose copy was lost, still counts for the vault.",
        "Each officer makes a fresh key (`holdfast vault officer`); then a new quorum, and a migration of the vault.",
    ),
    Kind(
        "freeze-key-without-end", LOW, INFO,
        "The freeze key {key}… has no end in `freeze_keys_until` of {subject}.",
        "Whoever has it can stop all payouts, as often as he likes, also after he has left.",
        '`[freeze_keys_until]`, `"{whole}" = {until}`; before that day a fresh one, `holdfast vault key freeze NAME`.',
    ),
    Kind(
        "freeze-key-over", MEDIUM, LOW,
        "The freeze key {key}… was to be used until {until} by {subject}, and still freezes.",
        "It is not refused on that day, so that nobody is at a loss at night; so somebody has to take it away.",
        "`holdfast vault key freeze NAME` for who is on duty now, then take the old one out of `freeze_keys`.",
    ),
    Kind(
        "freeze-key-ends-soon", INFO, INFO,
        "The freeze key {key}… is to be used until {until} by {subject}.",
        "Whoever holds it needs the next one before that day.",
        "`holdfast vault key freeze NAME`, and its public key into `freeze_keys`.",
    ),
    Kind(
        "operator-key-anywhere", HIGH, LOW,
        "The operator's API key {subject} ({name}) works from every address, and nothing else is asked for.",
        "It is the only factor: who reads it once from a file, a shell history or a backup is the operator.",
        "`holdfast keys make NAME --allowed-ip ADDRESS`, then `holdfast keys revoke {subject}`.",
    ),
    Kind(
        "operator-keys-many", LOW, INFO,
        "{count} operator's API keys are live.",
        "Each may enrol merchants and mark invoices; a forgotten one is found by whoever looks for it.",
        "`holdfast keys list`, and `holdfast keys revoke KEY` for those without an owner.",
    ),
    Kind(
        "api-key-unused", MEDIUM, LOW,
        "The API key {subject} ({name}) of {holder} has not been used for {days} days.",
        "A credential that nobody misses is one whose theft nobody notices: Bitrefill was robbed through one in 2026.",
        "`holdfast keys revoke {subject}{of_merchant}`",
    ),
    Kind(
        "api-key-old", MEDIUM, LOW,
        "The API key {subject} ({name}) of {holder} is {days} days old; `[assessment] api_key_days` is {days_max}.",
        "It has been in as many backups, logs of others and people's hands.",
        "`holdfast keys make NAME{of_merchant}`, put it into use, then `holdfast keys revoke {subject}{of_merchant}`.",
    ),
    Kind(
        "api-key-broad", LOW, INFO,
        "The API key {subject} ({name}) of {holder} has every scope there is.",
        "A shop's server needs to make and read invoices; whoever breaks into it gets keys and webhooks as well.",
        "Make one key for each program with `--scope`, then `holdfast keys revoke {subject}{of_merchant}`.",
    ),
    Kind(
        "api-key-of-closed-merchant", HIGH, LOW,
        "The API key {subject} ({name}) still works, and its merchant {holder} is closed.",
        "The relation has ended and the grant has not: Ronin was robbed through a forgotten one.",
        "`holdfast keys revoke {subject}{of_merchant}`",
    ),
    Kind(
        "api-key-expires-soon", LOW, INFO,
        "The API key {subject} ({name}) of {holder} ends in {days} days.",
        "What uses it stops on that day.",
        "`holdfast keys make NAME{of_merchant}`, and put it into use before.",
    ),
)  # fmt: skip
