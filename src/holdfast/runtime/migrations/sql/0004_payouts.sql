-- Money out: payouts as merchants signed them, their lines, standing orders; the ledger's accounts for what leaves.
-- The platform keeps and shows these; only the signer's journal decides what becomes of a payout.
INSERT INTO ledger.account_kinds VALUES
    ('payable', true),      -- what is ordered out and not paid yet
    ('claim', true),        -- what the vault owes the company for payouts that the float paid
    ('float', false),       -- what lies at the float, as the chain shows it: the company's own
    ('company', false),     -- the company's money behind the float, and behind what merchants owe
    ('deficit', false);     -- what the vault lacks, beyond the claim: the company must fill it

-- Signed once, paid slot by slot.
CREATE TABLE payments.standing_orders (
    id            text PRIMARY KEY,
    intent_id     text NOT NULL UNIQUE,                -- SHA-256 of the document, hex
    merchant_id   text NOT NULL REFERENCES payments.merchants,
    reference     text NOT NULL,                       -- the merchant's own; unique for him
    network       text NOT NULL,
    asset         text NOT NULL,
    destination   text NOT NULL,
    units         numeric(78,0) NOT NULL CHECK (units > 0),       -- most that one slot pays
    minimum_units numeric(78,0) NOT NULL CHECK (minimum_units > 0),   -- less is not worth a slot: the platform's own rule
    fee_units     numeric(78,0) NOT NULL CHECK (fee_units >= 0),
    every_seconds bigint NOT NULL CHECK (every_seconds > 0),
    document      text NOT NULL,
    signature     text NOT NULL,
    state         text NOT NULL,
    slot_next     bigint NOT NULL DEFAULT 0,           -- the first slot that may still be proposed
    due_at        timestamptz NOT NULL,                -- when it begins
    looked_at     timestamptz,                         -- when it was last tried: the one that waits longest is next
    not_before    timestamptz NOT NULL,
    expires_at    timestamptz NOT NULL,
    created_at    timestamptz NOT NULL,
    ended_at      timestamptz,
    request_id    text,
    UNIQUE (merchant_id, reference)
);
CREATE INDEX ON payments.standing_orders (merchant_id, id DESC);
CREATE INDEX ON payments.standing_orders (due_at) WHERE state = 'active';

CREATE TABLE payments.payouts (
    id            text PRIMARY KEY,                    -- ordered by time of creation
    key           text NOT NULL UNIQUE,                -- as signer and journal name it: intent id, or `intent id:slot`
    intent_id     text NOT NULL,                       -- SHA-256 of the document, hex
    merchant_id   text NOT NULL REFERENCES payments.merchants,
    reference     text NOT NULL,                       -- the merchant's own; of a slot the order's with the slot's number
    number        bigint NOT NULL,
    network       text NOT NULL,
    asset         text NOT NULL,
    lines_units   numeric(78,0) NOT NULL CHECK (lines_units > 0),
    fee_units     numeric(78,0) NOT NULL CHECK (fee_units >= 0),
    document      text NOT NULL,                       -- the exact bytes that the merchant signed
    signature     text NOT NULL,
    standing_order_id text REFERENCES payments.standing_orders,
    slot          bigint,
    state         text NOT NULL,
    rule          text,                                -- why it was refused or abandoned
    detail        text,
    waiting_rule  text,                                -- why the signer has not signed it yet
    waiting_detail text,
    looked_at     timestamptz,                         -- when the signer last said so
    approvals     jsonb NOT NULL DEFAULT '[]',         -- [{officer, signature}] over the document
    reservation   bigint,                              -- seq of the journal's entry that reserved its transaction
    transaction   text,
    not_before    timestamptz NOT NULL,
    expires_at    timestamptz NOT NULL,
    created_at    timestamptz NOT NULL,
    accepted_at   timestamptz,                         -- the signer has taken it on
    signed_at     timestamptz,
    broadcast_at  timestamptz,
    ended_at      timestamptz,
    request_id    text,                                -- the HTTP request that ordered it
    CHECK ((standing_order_id IS NULL) = (slot IS NULL))
);
CREATE UNIQUE INDEX ON payments.payouts (merchant_id, reference) WHERE slot IS NULL;
CREATE UNIQUE INDEX ON payments.payouts (merchant_id, number) WHERE slot IS NULL;
CREATE UNIQUE INDEX ON payments.payouts (standing_order_id, slot) WHERE slot IS NOT NULL;
CREATE INDEX ON payments.payouts (merchant_id, id DESC);
CREATE INDEX ON payments.payouts (merchant_id, state, id DESC);
CREATE INDEX ON payments.payouts (looked_at NULLS FIRST, id)
    WHERE state IN ('reserved', 'awaiting-approval') AND accepted_at IS NULL;
CREATE INDEX ON payments.payouts (reservation) WHERE reservation IS NOT NULL;

CREATE TABLE payments.payout_lines (
    payout_id   text NOT NULL REFERENCES payments.payouts,
    place       integer NOT NULL CHECK (place >= 0),   -- among the lines of the intent
    destination text NOT NULL,
    units       numeric(78,0) NOT NULL CHECK (units > 0),
    state       text NOT NULL,
    transaction text,                                  -- what paid it
    PRIMARY KEY (payout_id, place)
);
CREATE INDEX ON payments.payout_lines (destination, payout_id);

-- What a merchant signed is never changed: only what became of it is.
GRANT SELECT, INSERT ON payments.standing_orders, payments.payouts, payments.payout_lines TO holdfast_platform;
GRANT UPDATE (state, slot_next, due_at, looked_at, ended_at) ON payments.standing_orders TO holdfast_platform;
GRANT UPDATE (state, rule, detail, waiting_rule, waiting_detail, looked_at, approvals, reservation, transaction,
    accepted_at, signed_at, broadcast_at, ended_at) ON payments.payouts TO holdfast_platform;
GRANT UPDATE (state, transaction) ON payments.payout_lines TO holdfast_platform;
