-- What the platform tells of payouts: what the watchtower said last. It decides nothing: the signer does, by its lease.

CREATE TABLE payments.payout_stages (
    scope text PRIMARY KEY,                            -- `*`, a CAIP-2 id, a CAIP-19 id or a merchant's id
    stage text NOT NULL CHECK (stage IN ('frozen', 'allowlisted', 'limited', 'normal')),
    since timestamptz NOT NULL
);

-- One row: when the watchtower answered last, and when it granted the signer its newest lease.
CREATE TABLE payments.watchtower (
    is_only   boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    heard_at  timestamptz NOT NULL,
    leased_at timestamptz
);

GRANT SELECT, INSERT, UPDATE ON payments.payout_stages, payments.watchtower TO holdfast_platform;
