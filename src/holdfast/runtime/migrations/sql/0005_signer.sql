-- The platform's side of the signer: its journal mirrored, what people signed for it, hints, what is broadcast, and
-- whether ledger, journal and chain say the same. Nothing in here can make the signer sign anything.

-- The signer's entries exactly as it wrote them. `subject` is what an entry is about, to find it by: a payout's id, an
-- arrival's key, a reservation's number, the SHA-256 of a document.
CREATE TABLE payments.journal (
    seq         bigint PRIMARY KEY CHECK (seq > 0),
    hash        text NOT NULL UNIQUE,
    kind        text NOT NULL,
    network     text,
    subject     text,
    document    text NOT NULL,
    mirrored_at timestamptz NOT NULL
);
CREATE INDEX ON payments.journal (kind, subject, network);

-- The watchtower's word that it holds every entry up to this one.
CREATE TABLE payments.journal_receipts (
    seq         bigint PRIMARY KEY REFERENCES payments.journal,
    lease       jsonb NOT NULL,                        -- core.leases.SignedLease
    received_at timestamptz NOT NULL
);

-- Policies, orders, vetoes and recoveries as people signed them, for the signer to fetch: it believes the signatures,
-- not us. The same document may come again with other signatures, so nobody can spoil one by handing it in first.
CREATE TABLE payments.signer_documents (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind        text NOT NULL CHECK (kind IN ('policy', 'order', 'veto', 'recovery')),
    sha256      text NOT NULL,
    document    text NOT NULL,
    signatures  jsonb NOT NULL,                        -- [{officer, signature}]; of a word its one signature
    merchant_id text REFERENCES payments.merchants,    -- whose word it is
    stored_by   text NOT NULL,                         -- the API key
    stored_at   timestamptz NOT NULL,
    journal_seq bigint,                                -- the entry that took it
    UNIQUE (kind, sha256, signatures)
);

CREATE INDEX ON payments.signer_documents (kind, sha256);
CREATE INDEX ON payments.signer_documents (kind, id) WHERE journal_seq IS NULL;

ALTER TABLE payments.certificates
    ADD COLUMN sha256 text GENERATED ALWAYS AS (encode(sha256(document), 'hex')) STORED,
    ADD COLUMN journal_seq bigint;                     -- the signer's entry that took it
CREATE INDEX ON payments.certificates (sha256);
CREATE INDEX ON payments.certificates (created_at) WHERE journal_seq IS NULL;

-- Where the signer may look for something: it looks itself, so a hint can only be missing, never wrong.
CREATE TABLE payments.signer_hints (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind        text NOT NULL CHECK (kind IN ('deposit', 'funding', 'mined')),
    network     text NOT NULL,
    key         text NOT NULL,                         -- what a journal entry answers it by: its `subject`
    height      bigint NOT NULL,
    index       bigint,                                -- a deposit's
    merchant_id text,
    reservation bigint,                                -- a mined transaction's
    transaction text,
    is_open     boolean NOT NULL DEFAULT true,         -- not answered by an entry, and still to be found there
    made_by     xid8 NOT NULL DEFAULT pg_current_xact_id(),
    UNIQUE (kind, network, key)
);
CREATE INDEX ON payments.signer_hints (kind, id) WHERE is_open;

-- One row for each transaction that made work for the signer. What it has seen is a snapshot, so it misses none of them
-- in whatever order they commit, and is not woken twice by one.
CREATE TABLE payments.signer_wakes (
    made_by xid8 NOT NULL DEFAULT pg_current_xact_id(),
    made_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON payments.signer_wakes (made_by);
CREATE INDEX ON payments.signer_wakes (made_at);

CREATE FUNCTION payments.wake_signer() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO payments.signer_wakes DEFAULT VALUES;
    PERFORM pg_notify('holdfast_signer', '');
    RETURN NULL;
END $$;
CREATE TRIGGER wake_signer AFTER INSERT ON payments.signer_documents
    FOR EACH STATEMENT EXECUTE FUNCTION payments.wake_signer();
CREATE TRIGGER wake_signer AFTER INSERT OR UPDATE OF height, is_open ON payments.signer_hints
    FOR EACH STATEMENT EXECUTE FUNCTION payments.wake_signer();
CREATE TRIGGER wake_signer AFTER INSERT OR UPDATE OF approvals ON payments.payouts
    FOR EACH STATEMENT EXECUTE FUNCTION payments.wake_signer();
CREATE TRIGGER wake_signer AFTER INSERT ON payments.certificates
    FOR EACH STATEMENT EXECUTE FUNCTION payments.wake_signer();

-- What was reserved and signed: one row for each reservation in the journal. Bytes are stored before they are sent, and
-- sent again until they, or what replaced them, are final.
CREATE TABLE payments.transactions (
    reservation  bigint PRIMARY KEY,                   -- seq of the `reserved` entry
    network      text NOT NULL,
    asset        text NOT NULL,
    purpose      text NOT NULL,                        -- `payout`, or the kind of house transaction
    account      text NOT NULL,                        -- whose coins and nonces: the float's address, or the gas account
    payouts      text[] NOT NULL,
    inputs       text[] NOT NULL,                      -- outpoints (Bitcoin family)
    nonce        numeric(20,0),                        -- EVM
    out_units    numeric(78,0) NOT NULL,               -- what leaves the float, fee aside
    fee_units    numeric(78,0) NOT NULL,               -- most that it can cost, in the network's coin
    replaces     bigint,
    root         bigint NOT NULL,                      -- the first of all that replace one another: at most one is mined
    state        text NOT NULL CHECK (state IN ('reserved', 'to-send', 'sent', 'mined', 'final', 'replaced')),
    transaction  text,                                 -- its id, once signed
    raw          text,
    attempts     integer NOT NULL DEFAULT 0,
    last_sent_at timestamptz,
    last_error   text,
    height       bigint,                               -- the block that it is in
    hash         text,
    is_reverted  boolean,
    paid_fee_units numeric(78,0),                      -- what it did cost, once it is in a block
    unpaid_units numeric(78,0),                        -- of lines that moved nothing
    signed_at    timestamptz,
    CHECK (raw IS NOT NULL OR state IN ('reserved', 'replaced')),
    CHECK ((height IS NULL) = (hash IS NULL))
);
CREATE UNIQUE INDEX ON payments.transactions (network, transaction);
CREATE INDEX ON payments.transactions (network, account, nonce, reservation) WHERE state IN ('to-send', 'sent', 'mined');
CREATE INDEX ON payments.transactions USING gin (payouts);
CREATE INDEX ON payments.transactions (root);
CREATE INDEX ON payments.transactions (network, height) WHERE height IS NOT NULL;

-- What went on at the company's own addresses, and out of the vault: read block by block, beside deposits.
CREATE TABLE payments.outflow_cursors (
    network    text PRIMARY KEY,
    height     bigint,                                 -- NULL: nothing read yet
    hash       text,
    trouble    text,                                   -- why it waits, as an error code
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE payments.outflow_blocks (
    network text NOT NULL,
    height  bigint NOT NULL,
    hash    text NOT NULL,
    PRIMARY KEY (network, height)
);
-- Money that came to the float, or to the vault other than to a deposit address: settlements, change, cap sweeps.
CREATE TABLE payments.house_arrivals (
    network     text NOT NULL,
    key         text NOT NULL,                         -- `txid:vout`, `txhash:logindex`, `blockhash:address`
    place       text NOT NULL CHECK (place IN ('float', 'vault')),
    origin      text NOT NULL CHECK (origin IN ('vault', 'float', 'outside')),   -- who paid it
    address     text NOT NULL,
    asset       text NOT NULL,
    units       numeric(78,0) NOT NULL CHECK (units > 0),
    transaction text NOT NULL,                         -- the block's hash where no transaction can be named
    height      bigint NOT NULL,
    hash        text NOT NULL,
    PRIMARY KEY (network, key)
);
CREATE INDEX ON payments.house_arrivals (network, height);
CREATE INDEX ON payments.house_arrivals (network, transaction);
-- Outputs of the vault or the float that were spent (Bitcoin family); transactions of the float key (EVM).
CREATE TABLE payments.outflows (
    network     text NOT NULL,
    key         text NOT NULL,                         -- the outpoint, or `address:nonce`
    place       text NOT NULL CHECK (place IN ('float', 'vault')),
    units       numeric(78,0) NOT NULL,                -- of the output; 0 for a nonce
    transaction text NOT NULL,
    height      bigint NOT NULL,
    hash        text NOT NULL,
    PRIMARY KEY (network, key)
);
CREATE INDEX ON payments.outflows (network, height);
CREATE INDEX ON payments.outflows (network, transaction);
-- What transactions out of the vault paid to whom: every output, every payment of the Safe.
CREATE TABLE payments.vault_payments (
    network     text NOT NULL,
    key         text NOT NULL,
    transaction text NOT NULL,
    place       text CHECK (place IN ('float', 'vault')),   -- NULL: to somebody else
    address     text,                                  -- NULL: a script without one, or unknown
    asset       text NOT NULL,
    units       numeric(78,0) NOT NULL,
    height      bigint NOT NULL,
    hash        text NOT NULL,
    PRIMARY KEY (network, key)
);
CREATE INDEX ON payments.vault_payments (network, height);
CREATE INDEX ON payments.vault_payments (network, transaction);
-- What of the above is in the ledger: by transaction and asset, and how often it was posted (a reorganisation undoes it).
CREATE TABLE payments.house_entries (
    network     text NOT NULL,
    transaction text NOT NULL,
    asset       text NOT NULL,
    times       integer NOT NULL DEFAULT 1,
    is_posted   boolean NOT NULL DEFAULT true,
    height      bigint NOT NULL,
    vault_units numeric(78,0) NOT NULL,                -- by which it changed what the ledger says of the vault
    float_units numeric(78,0) NOT NULL,
    PRIMARY KEY (network, transaction, asset)
);

-- Deposit addresses that hold something which a flush would bring to the vault (EVM), as of the newest reconciliation.
CREATE TABLE payments.unflushed (
    network text NOT NULL,
    index   bigint NOT NULL,
    asset   text NOT NULL,
    units   numeric(78,0) NOT NULL,
    PRIMARY KEY (network, index, asset)
);

-- Chain, ledger and journal of one asset at one block.
CREATE TABLE payments.reconciliations (
    asset       text NOT NULL,
    height      bigint NOT NULL,
    hash        text NOT NULL,
    figures     jsonb NOT NULL,                        -- payments.reconciliation.Figures
    gap_units   numeric(78,0) NOT NULL,                -- of vault and float together, without sign
    findings    jsonb NOT NULL,                        -- what the gap is made of, to the transaction
    made_at     timestamptz NOT NULL,
    PRIMARY KEY (asset, height, hash)
);
CREATE INDEX ON payments.reconciliations (asset, made_at DESC);

-- What was credited before there was a signer is hinted at too.
INSERT INTO payments.signer_hints (kind, network, key, height, index, merchant_id)
SELECT 'deposit', deposit.network, deposit.key, deposit.block_height, address.index, deposit.merchant_id
FROM payments.deposits AS deposit JOIN payments.addresses AS address USING (network, address)
WHERE deposit.state = 'confirmed';

GRANT SELECT, INSERT ON payments.journal, payments.journal_receipts, payments.signer_documents TO holdfast_platform;
GRANT SELECT, INSERT, UPDATE ON payments.signer_hints, payments.transactions, payments.outflow_cursors,
    payments.house_arrivals, payments.outflows, payments.outflow_blocks, payments.vault_payments,
    payments.house_entries TO holdfast_platform;
GRANT SELECT, INSERT, DELETE ON payments.signer_wakes, payments.unflushed TO holdfast_platform;
GRANT SELECT, INSERT, UPDATE, DELETE ON payments.reconciliations TO holdfast_platform;
GRANT UPDATE (journal_seq) ON payments.signer_documents, payments.certificates TO holdfast_platform;
GRANT DELETE ON payments.outflow_blocks, payments.outflows, payments.house_arrivals, payments.vault_payments TO holdfast_platform;
