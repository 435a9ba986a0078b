"""Findings about zones, settings, dependencies and the assessment itself. Rows of the severity table."""

from __future__ import annotations

from holdfast.faces.assess.severities import Kind, Severity

CRITICAL, HIGH, MEDIUM, LOW, INFO = Severity

KINDS = (
    Kind(
        "zones-share-a-user", HIGH, LOW,
        "The zones {subject} belong to one user of this host.",
        "Who takes over one of them reads the keys of the others: there is one zone, not several.",
        "Give each zone a user of its own, better a host of its own, and `chown -R` its directory.",
    ),
    Kind(
        "zones-share-a-host", MEDIUM, INFO,
        "The files of {subject} lie on the platform's host.",
        "Root on the platform is then root on the zones that are to watch it.",
        "Move each directory to a host of its own; nothing in it refers to the platform's files.",
    ),
    Kind(
        "node-shared", MEDIUM, INFO,
        "The zones {zones} share nodes of {subject}.",
        "A node that lies, lies to all of them: what one is to check of the other agrees by itself.",
        "Give each zone a node of its own: `nodes` in its settings.",
    ),
    Kind(
        "node-single", MEDIUM, INFO,
        "The platform has one node of {subject}.",
        "One lying node is enough for a deposit that is not there; with two, both must lie alike.",
        "Add a second node of another operator to `nodes`.",
    ),
    Kind(
        "confirmations-few", HIGH, INFO,
        "Deposits of any size on {subject} are credited after {count} block(s).",
        "A reorganisation, or a purchase of hash power, takes back what was paid out against.",
        "Let the last rule of `confirmations` ask for at least {wanted}.",
    ),
    Kind(
        "api-unencrypted", HIGH, LOW,
        "Payers and merchants reach the API at {subject}, without TLS.",
        "Everybody on the way reads API keys and can change the address that a payer is shown.",
        "Put a TLS proxy in front, and set `[api] public_url` to its https address.",
    ),
    Kind(
        "api-open", MEDIUM, LOW,
        "The API listens on {subject}, and no proxy is trusted.",
        "It does no TLS itself, and whoever reaches the port reaches it past the proxy.",
        "Set `[api] host` to the loopback address, or name the proxy in `trusted_proxies`.",
    ),
    Kind(
        "rate-limit-off", MEDIUM, LOW,
        "`[api] requests_per_minute` is 0: there is no limit.",
        "One client can take the whole server, and keys can be tried without end.",
        "Set it to what your largest merchant needs, times two.",
    ),
    Kind(
        "private-webhooks", MEDIUM, INFO,
        "Merchants may name webhook endpoints inside this network (`allow_private`).",
        "The courier then asks what only this network may ask, for a merchant.",
        "`allow_private = false` in `[webhooks]`.",
    ),
    Kind(
        "fixed-rates", MEDIUM, INFO,
        "Rates are fixed in the configuration.",
        "A quote at yesterday's rate is bought by everybody who knows today's.",
        "Name `sources` in `[rates]`.",
    ),
    Kind(
        "rate-sources-few", MEDIUM, INFO,
        "{count} rate source(s) are enough for a quote.",
        "The median of one or two is whatever one of them says.",
        "`sources_min = 3` in `[rates]`.",
    ),
    Kind(
        "debug-logs", LOW, INFO,
        "Logs are written at level debug.",
        "They carry what customers paid, in more copies than anybody counts.",
        '`level = "info"` in `[logs]`.',
    ),
    Kind(
        "lease-long", MEDIUM, LOW,
        "A lease lasts {milliseconds} ms.",
        "So long a signer goes on after the watchtower has said stop, or has died.",
        "`lease_milliseconds = 5000` in {subject}.",
    ),
    Kind(
        "watchtower-without-nodes", HIGH, MEDIUM,
        "The watchtower has no node of {subject}: it does not see what leaves there.",
        "It can compare the journal with itself, and with nothing else.",
        "Give it nodes of its own: `[networks.\"{subject}\"]` in its settings.",
    ),
    Kind(
        "watchtower-blind", HIGH, MEDIUM,
        "The watchtower does not see {subject} now: {fault}.",
        "No lease covers it, so payouts wait; and a theft there would not be seen.",
        "Start the watchtower's node; `holdfast doctor` on its host.",
    ),
    Kind(
        "payouts-not-normal", MEDIUM, LOW,
        "Payouts of {subject} are at the stage `{stage}`.",
        "A freeze that everybody has got used to hides the next one.",
        "`holdfast vault order restore`, once its checks are done.",
    ),
    Kind(
        "signer-missing", INFO, INFO,
        "No signer is let in: nothing is paid out, and there is no float.",
        "Only deposits are taken; no bound is needed.",
        "`holdfast signer init`, when payouts are wanted.",
    ),
    Kind(
        "backup-missing", HIGH, LOW,
        "There is no proven backup in {subject}.",
        "The ledger says who owns what in the vault; without it merchants are paid by argument.",
        "`holdfast backup` every day, and a copy on another machine.",
    ),
    Kind(
        "backup-old", MEDIUM, LOW,
        "The newest proven backup is {days} days old.",
        "What came since is lost with the disk.",
        "`holdfast backup` every day, and a copy on another machine.",
    ),
    Kind(
        "advisories-missing", HIGH, LOW,
        "There is no advisory database in {subject}: nobody knows which dependencies are vulnerable.",
        "Known holes are the ones that are used first.",
        "`holdfast assess --update-advisories URL|DIR`",
    ),
    Kind(
        "advisories-old", MEDIUM, LOW,
        "The advisory database is {days} days old; `[assessment] advisories_days` is {days_max}.",
        "What was found since is not in it.",
        "`holdfast assess --update-advisories URL|DIR`",
    ),
    Kind(
        "dependency-vulnerable", HIGH, HIGH,
        "{package} {version} is vulnerable: {advisory}{summary}.",
        "Its severity is the advisory's own; high where that says nothing. Test coins do not change it.",
        "{upgrade}",
    ),
    Kind(
        "dependency-not-locked", MEDIUM, LOW,
        "{subject} {installed} is installed, the lock file has {locked}.",
        "What runs is not what was reviewed and hash-pinned.",
        "Install from the lock file: `pip install --require-hashes -r requirements/platform.txt`.",
    ),
    Kind(
        "lock-file-missing", LOW, LOW,
        "No lock file was given or found: what is installed was compared with nothing.",
        "A package that was exchanged on its way here is not noticed.",
        "`holdfast assess --lock requirements/platform.txt`",
    ),
    Kind(
        "assessment-first", INFO, INFO,
        "There was no assessment before this one.",
        "From now on its date is kept beside the configuration, and an overdue one is a finding.",
        "Run it every {days_max} days, for instance by a timer.",
    ),
    Kind(
        "assessment-overdue", MEDIUM, LOW,
        "The last assessment was {days} days ago; `[assessment] every_days` is {days_max}.",
        "Grants, keys and dependencies have aged unseen.",
        "Run `holdfast assess` by a timer.",
    ),
    Kind(
        "part-not-looked-at", MEDIUM, LOW,
        "Not looked at: {subject} ({reason}).",
        "What is not looked at may be wrong.",
        "{how}",
    ),
)  # fmt: skip
