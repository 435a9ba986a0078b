-- Money in: merchants, addresses, invoices, deposits, events. Amounts are smallest units, NUMERIC(78,0).
CREATE SCHEMA payments;

CREATE TABLE payments.merchants (
    id          text PRIMARY KEY,
    name        text NOT NULL,
    public_key  bytea NOT NULL,                    -- Ed25519, the merchant's own
    recovery_key bytea NOT NULL,
    state       text NOT NULL CHECK (state IN ('pending', 'active', 'closed')),  -- pending until certified
    settings    jsonb NOT NULL DEFAULT '{}',       -- tolerances, late rule: payments.standing.Terms
    tariff_basis_points integer NOT NULL DEFAULT 0 CHECK (tariff_basis_points BETWEEN 0 AND 10000),
    certificate_version integer,                   -- the newest certificate's; NULL: not certified yet
    certified_until timestamptz,                   -- its expiry: no address is given out afterwards
    request     bytea NOT NULL,                    -- the unsigned certificate document that officers are asked to sign
    created_at  timestamptz NOT NULL DEFAULT now()
);

-- The exact bytes that officers signed. The platform only stores and hands them out.
CREATE TABLE payments.certificates (
    merchant_id text NOT NULL REFERENCES payments.merchants,
    version     integer NOT NULL,
    document    bytea NOT NULL,
    signatures  jsonb NOT NULL,
    expires_at  timestamptz NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (merchant_id, version)
);

CREATE TABLE payments.api_keys (
    id           text PRIMARY KEY,
    merchant_id  text REFERENCES payments.merchants,   -- NULL: the operator's own key
    name         text NOT NULL,
    secret_hash  bytea NOT NULL UNIQUE,                -- SHA-256 of a 256-bit random secret
    scopes       text[] NOT NULL,
    allowed_ips  cidr[] NOT NULL DEFAULT '{}',         -- empty: any
    expires_at   timestamptz NOT NULL,
    last_used_at timestamptz,
    revoked_at   timestamptz,
    created_at   timestamptz NOT NULL DEFAULT now()
);

-- Where the next range of a network's derivation indexes begins: one row, so that no two merchants get the same.
CREATE TABLE payments.index_spaces (
    network    text PRIMARY KEY,
    index_next bigint NOT NULL CHECK (index_next >= 0)
);

-- Which derivation indexes of a network's vault a merchant owns, and the next unused one.
-- The vault is the certificate's: addresses come from what officers signed, whatever the configuration says later.
CREATE TABLE payments.address_ranges (
    merchant_id text NOT NULL REFERENCES payments.merchants,
    network     text NOT NULL,
    index_from  bigint NOT NULL,
    index_to    bigint NOT NULL,                       -- excluded
    index_next  bigint NOT NULL,
    vault       jsonb NOT NULL,
    certified   boolean NOT NULL DEFAULT false,        -- whether officers have signed it
    PRIMARY KEY (network, index_from),
    CHECK (index_from <= index_next AND index_next <= index_to)
);
CREATE INDEX ON payments.address_ranges (merchant_id, network);

CREATE TABLE payments.addresses (
    network     text NOT NULL,
    address     text NOT NULL,
    merchant_id text NOT NULL REFERENCES payments.merchants,
    index       bigint NOT NULL,
    invoice_id  text,                                  -- NULL: standing
    customer    text,                                  -- the merchant's own name for its customer
    open_until  timestamptz,                           -- NULL: for ever; EVM balances are compared until then
    closed_at   timestamptz,                           -- a standing address that its merchant no longer shows
    -- A follower reads new rows by transaction id: sequence numbers become visible out of order and would be missed.
    made_by     xid8 NOT NULL DEFAULT pg_current_xact_id(),
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (network, address),
    UNIQUE (network, index)
);
CREATE INDEX ON payments.addresses (network, made_by);
CREATE UNIQUE INDEX ON payments.addresses (merchant_id, network, customer) WHERE customer IS NOT NULL;
CREATE INDEX ON payments.addresses (merchant_id, network, index DESC) WHERE invoice_id IS NULL;
CREATE INDEX ON payments.addresses (invoice_id) WHERE invoice_id IS NOT NULL;

CREATE TABLE payments.invoices (
    id             text PRIMARY KEY,                   -- ordered by time of creation
    merchant_id    text NOT NULL REFERENCES payments.merchants,
    reference      text,                               -- the merchant's own; unique for him
    price_units    numeric(78,0) NOT NULL CHECK (price_units > 0),
    price_currency text NOT NULL,                      -- ISO 4217, or a CAIP-19 asset id
    price_decimals smallint NOT NULL,
    assets         text[] NOT NULL,                    -- the payer may choose among these
    state          text NOT NULL,
    reason         text,
    paid_units     numeric(78,0) NOT NULL DEFAULT 0,   -- value of all that was seen, in the price's units
    confirmed_units numeric(78,0) NOT NULL DEFAULT 0,
    terms          jsonb NOT NULL,                     -- tolerances and late rule as they were at creation
    description    text,
    metadata       jsonb NOT NULL DEFAULT '{}',
    redirect_url   text,
    created_at     timestamptz NOT NULL,
    expires_at     timestamptz NOT NULL,
    monitored_until timestamptz NOT NULL,
    request_id     text,                               -- the HTTP request that made it: follower and courier log it too
    settled_at     timestamptz,
    UNIQUE (merchant_id, reference)
);
CREATE INDEX ON payments.invoices (merchant_id, id DESC);
CREATE INDEX ON payments.invoices (merchant_id, state, id DESC);
CREATE INDEX ON payments.invoices (expires_at) WHERE state = 'new';

-- How one invoice can be paid in one asset: made when the payer picks it, and again (the next version, the same
-- address) when the payer asks after it ran out. A payment is valued by the version in force when it was made.
CREATE TABLE payments.quotes (
    invoice_id  text NOT NULL REFERENCES payments.invoices,
    asset       text NOT NULL,
    version     integer NOT NULL DEFAULT 1,
    network     text NOT NULL,
    address     text NOT NULL,
    index       bigint NOT NULL,
    due_units   numeric(78,0) NOT NULL CHECK (due_units > 0),
    rate        jsonb,                                 -- rate, sources and their times; NULL where price and asset are one
    created_at  timestamptz NOT NULL,
    valid_until timestamptz NOT NULL,
    PRIMARY KEY (invoice_id, asset, version)
);

CREATE TABLE payments.deposits (
    id            text PRIMARY KEY,
    network       text NOT NULL,
    key           text NOT NULL,                       -- chains.port.Arrival.key
    asset         text NOT NULL,
    address       text NOT NULL,
    merchant_id   text NOT NULL REFERENCES payments.merchants,
    invoice_id    text REFERENCES payments.invoices,
    units         numeric(78,0) NOT NULL CHECK (units > 0),
    state         text NOT NULL,
    transaction   text,
    block_height  bigint,
    block_hash    text,
    confirmations_required integer NOT NULL,
    times_confirmed integer NOT NULL DEFAULT 0,        -- part of the ledger's idempotency key: a reorganised deposit may confirm again
    tariff_units  numeric(78,0) NOT NULL DEFAULT 0,    -- of the last confirmation
    below_minimum boolean NOT NULL DEFAULT false,      -- shown, never credited
    held_for      text,                                -- why screening or a person holds it
    seen_at       timestamptz NOT NULL,
    paid_at       timestamptz NOT NULL,                -- the earliest moment that it can be shown to have been made
    confirmed_at  timestamptz,
    UNIQUE (network, key),
    CHECK ((block_height IS NULL) = (block_hash IS NULL)),
    CHECK (state <> 'confirmed' OR block_height IS NOT NULL)
);
CREATE INDEX ON payments.deposits (merchant_id, id DESC);
CREATE INDEX ON payments.deposits (invoice_id);
CREATE INDEX ON payments.deposits (network, block_height) WHERE state = 'seen' AND NOT below_minimum;
CREATE INDEX ON payments.deposits (network, transaction) WHERE block_height IS NULL;
CREATE INDEX ON payments.deposits (network, block_height DESC);

-- Where the follower of each network stands, and the recent blocks it came by.
CREATE TABLE payments.cursors (
    network    text PRIMARY KEY,
    height     bigint,                                 -- NULL: nothing applied yet
    hash       text,
    tip_height bigint,
    trouble    text,                                   -- why crediting waits, as an error code; NULL: it does not
    read_through timestamptz,                          -- all that the nodes knew then has been applied
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE payments.blocks (
    network text NOT NULL,
    height  bigint NOT NULL,
    hash    text NOT NULL,
    PRIMARY KEY (network, height)
);

-- Whatever needs a person, never dropped.
CREATE TABLE payments.attention (
    id          text PRIMARY KEY,
    merchant_id text REFERENCES payments.merchants,
    reason      text NOT NULL,
    subject     text NOT NULL,                         -- id of the invoice, deposit or network it is about
    detail      jsonb NOT NULL DEFAULT '{}',
    created_at  timestamptz NOT NULL DEFAULT now(),
    resolved_at timestamptz,
    resolution  text,
    resolved_by text
);
CREATE INDEX ON payments.attention (merchant_id, id DESC) WHERE resolved_at IS NULL;
CREATE UNIQUE INDEX ON payments.attention (subject, reason) WHERE resolved_at IS NULL;

-- What happened, in the transaction that made it happen: the source of webhooks, `GET /v1/events` and live pages.
CREATE TABLE payments.events (
    seq         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    made_by     xid8 NOT NULL DEFAULT pg_current_xact_id(),   -- readers stop before transactions still open
    id          text NOT NULL UNIQUE,
    merchant_id text NOT NULL REFERENCES payments.merchants,
    type        text NOT NULL,
    subject     text NOT NULL,
    data        jsonb NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON payments.events (merchant_id, made_by, seq);
CREATE INDEX ON payments.events (made_by, seq);
CREATE INDEX ON payments.events (subject, made_by, seq);

CREATE TABLE payments.webhook_endpoints (
    id            text PRIMARY KEY,
    merchant_id   text NOT NULL REFERENCES payments.merchants,
    url           text NOT NULL,
    types         text[] NOT NULL DEFAULT '{}',        -- empty: all
    secret        bytea NOT NULL,                      -- encrypted at rest with the platform's webhook key, kept in a file
    old_secret    bytea,                               -- signs too until old_secret_until
    old_secret_until timestamptz,
    allow_private boolean NOT NULL DEFAULT false,
    disabled_at   timestamptz,
    created_at    timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON payments.webhook_endpoints (merchant_id);

CREATE TABLE payments.deliveries (
    id           text PRIMARY KEY,
    endpoint_id  text NOT NULL REFERENCES payments.webhook_endpoints,
    event_seq    bigint NOT NULL REFERENCES payments.events,
    state        text NOT NULL CHECK (state IN ('waiting', 'delivered', 'given-up')),
    attempts     integer NOT NULL DEFAULT 0,
    next_at      timestamptz NOT NULL DEFAULT now(),
    last_status  integer,
    last_error   text,
    delivered_at timestamptz,
    created_at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON payments.deliveries (endpoint_id, next_at, id) WHERE state = 'waiting';
CREATE INDEX ON payments.deliveries (endpoint_id, id DESC);

CREATE TABLE payments.idempotency (
    caller       text NOT NULL,                        -- merchant id, or `operator`
    key          text NOT NULL,
    request_hash bytea NOT NULL,
    status       integer NOT NULL,
    response     bytea NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (caller, key)
);
CREATE INDEX ON payments.idempotency (created_at);

-- What was signed, and what was told, is only ever added.
GRANT USAGE ON SCHEMA payments TO holdfast_platform;
GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA payments TO holdfast_platform;
REVOKE UPDATE ON payments.certificates, payments.events FROM holdfast_platform;
GRANT DELETE ON payments.blocks, payments.idempotency, payments.webhook_endpoints, payments.deliveries
    TO holdfast_platform;
