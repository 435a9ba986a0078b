-- Double entry. A transfer is one row that debits one account and credits another, so nothing unbalanced can be written.
-- Rows of `transfers` are only ever added. Servers may read, and post through `ledger.post`; they can do nothing else here.
CREATE SCHEMA ledger;

-- `has_floor`: what is debited may never exceed what was credited, and pending debits count as spent.
CREATE TABLE ledger.account_kinds (
    kind      text PRIMARY KEY,
    has_floor boolean NOT NULL
);
INSERT INTO ledger.account_kinds VALUES
    ('vault', false),          -- what lies on the vault's addresses, as the chain shows it
    ('merchant', true),        -- what a merchant may spend
    ('receivable', false),     -- what a merchant owes after a reorganisation took back what he had spent
    ('income', false),         -- tariffs
    ('unattributed', true);    -- arrived, and nobody's yet

-- Balances here are derived: `ledger.audit` adds every transfer up again.
CREATE TABLE ledger.accounts (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    code            text NOT NULL UNIQUE,              -- kind, asset and owner, parted by one space
    kind            text NOT NULL REFERENCES ledger.account_kinds,
    asset           text NOT NULL,
    owner           text NOT NULL,
    has_floor       boolean NOT NULL,
    debits_posted   numeric NOT NULL DEFAULT 0,
    credits_posted  numeric NOT NULL DEFAULT 0,
    debits_pending  numeric NOT NULL DEFAULT 0,
    credits_pending numeric NOT NULL DEFAULT 0,
    CONSTRAINT floor_holds CHECK (NOT has_floor OR credits_posted - debits_posted - debits_pending >= 0),
    CHECK (debits_pending >= 0 AND credits_pending >= 0)
) WITH (fillfactor = 40);      -- updates stay on their page, and out of the indexes
CREATE INDEX ON ledger.accounts (owner, asset);

CREATE TABLE ledger.transfers (
    seq            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key            text NOT NULL UNIQUE,               -- the same key is the same transfer, for ever
    step           text NOT NULL CHECK (step IN ('posted', 'pending', 'post', 'void')),
    -- No foreign keys: `post` has both rows locked, and their look-ups are up to a fifth of a row's time.
    debit          bigint NOT NULL,
    credit         bigint NOT NULL,
    units          numeric(78,0) NOT NULL CHECK (units > 0),
    settles        text,                               -- key of the pending transfer that `post` or `void` ends
    debit_balance  numeric NOT NULL,                   -- posted credits minus posted debits of the debited account, after
    credit_balance numeric NOT NULL,                   -- the same of the credited account
    about          text NOT NULL,                      -- id of what caused it
    kind           text NOT NULL,
    made_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK (debit <> credit),
    CHECK ((settles IS NOT NULL) = (step IN ('post', 'void')))
);
CREATE INDEX ON ledger.transfers (debit, seq);
CREATE INDEX ON ledger.transfers (credit, seq);
CREATE UNIQUE INDEX ON ledger.transfers (settles) WHERE settles IS NOT NULL;   -- a pending transfer ends once

CREATE FUNCTION ledger.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'ledger.transfers is append-only: correct a transfer with another one';
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.transfers
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change();
ALTER TABLE ledger.transfers ENABLE ALWAYS TRIGGER append_only;

CREATE TYPE ledger.outcome AS (place integer, seq bigint, rule text);   -- rule NULL: posted; 'replayed'; else why refused

-- Locks the accounts of these codes in one order, so that no two posts can wait for each other; opens missing ones.
CREATE FUNCTION ledger.lock_accounts(codes text[]) RETURNS SETOF ledger.accounts LANGUAGE plpgsql AS $$
DECLARE
    known integer;
BEGIN
    SELECT count(*) INTO known FROM ledger.accounts WHERE code = ANY (codes);
    IF known < cardinality(codes) THEN
        INSERT INTO ledger.accounts (code, kind, asset, owner, has_floor)
        SELECT c, k.kind, split_part(c, ' ', 2), split_part(c, ' ', 3), k.has_floor
        FROM unnest(codes) AS c JOIN ledger.account_kinds k ON k.kind = split_part(c, ' ', 1)
        ORDER BY c
        ON CONFLICT (code) DO NOTHING;
    END IF;
    RETURN QUERY SELECT * FROM ledger.accounts WHERE code = ANY (codes) ORDER BY id FOR NO KEY UPDATE;
END $$;

-- One transfer, every rule in order. The accounts are locked.
CREATE FUNCTION ledger.post_one(
    place integer, a_key text, a_step text, debit_code text, credit_code text, a_units numeric, a_settles text,
    an_about text, a_kind text
) RETURNS ledger.outcome LANGUAGE plpgsql AS $$
DECLARE
    d ledger.accounts; c ledger.accounts; old ledger.transfers; held ledger.transfers; new_seq bigint;
    posted numeric := 0; released numeric := 0; waiting numeric := 0;
BEGIN
    SELECT * INTO d FROM ledger.accounts WHERE code = debit_code;
    SELECT * INTO c FROM ledger.accounts WHERE code = credit_code;
    SELECT * INTO old FROM ledger.transfers WHERE key = a_key;
    IF FOUND THEN
        IF (old.step, old.debit, old.credit, old.units, old.settles, old.about, old.kind)
           IS NOT DISTINCT FROM (a_step, d.id, c.id, a_units, a_settles, an_about, a_kind) THEN
            RETURN (place, old.seq, 'replayed')::ledger.outcome;
        END IF;
        RETURN (place, old.seq, 'key-reused')::ledger.outcome;
    END IF;
    IF d.id = c.id THEN RETURN (place, NULL, 'accounts-same')::ledger.outcome; END IF;
    IF d.asset <> c.asset THEN RETURN (place, NULL, 'assets-differ')::ledger.outcome; END IF;
    IF a_step IN ('post', 'void') THEN
        SELECT * INTO held FROM ledger.transfers WHERE key = a_settles AND step = 'pending';
        IF NOT FOUND THEN RETURN (place, NULL, 'pending-unknown')::ledger.outcome; END IF;
        IF (held.debit, held.credit) <> (d.id, c.id) THEN RETURN (place, NULL, 'pending-differs')::ledger.outcome; END IF;
        PERFORM 1 FROM ledger.transfers WHERE settles = a_settles;
        IF FOUND THEN RETURN (place, NULL, 'pending-ended')::ledger.outcome; END IF;
        IF a_units > held.units OR (a_step = 'void' AND a_units <> held.units) THEN
            RETURN (place, NULL, 'pending-exceeded')::ledger.outcome;
        END IF;
        released := held.units;
    END IF;
    IF a_step IN ('posted', 'post') THEN posted := a_units; END IF;
    IF a_step = 'pending' THEN waiting := a_units; END IF;
    IF d.has_floor AND d.credits_posted - d.debits_posted - d.debits_pending + released < posted + waiting THEN
        RETURN (place, NULL, 'balance-too-low')::ledger.outcome;
    END IF;
    UPDATE ledger.accounts SET debits_posted = debits_posted + posted,
        debits_pending = debits_pending + waiting - released WHERE id = d.id;
    UPDATE ledger.accounts SET credits_posted = credits_posted + posted,
        credits_pending = credits_pending + waiting - released WHERE id = c.id;
    INSERT INTO ledger.transfers (key, step, debit, credit, units, settles, debit_balance, credit_balance, about, kind)
    VALUES (a_key, a_step, d.id, c.id, a_units, a_settles, d.credits_posted - d.debits_posted - posted,
            c.credits_posted - c.debits_posted + posted, an_about, a_kind)
    RETURNING seq INTO new_seq;
    RETURN (place, new_seq, NULL)::ledger.outcome;
END $$;

-- Many transfers that cannot be refused and do not lean on each other, at once: the way of nearly every batch.
CREATE FUNCTION ledger.post_together(
    keys text[], steps text[], debits text[], credits text[], amounts numeric[], abouts text[], kinds text[]
) RETURNS SETOF ledger.outcome LANGUAGE sql AS $$
    WITH item AS MATERIALIZED (
        SELECT i.place, i.key, i.step, d.id AS debit, c.id AS credit, i.units, i.about, i.kind,
               CASE WHEN i.step = 'posted' THEN i.units ELSE 0 END AS posted,
               d.credits_posted - d.debits_posted AS debit_before, c.credits_posted - c.debits_posted AS credit_before
        FROM unnest(keys, steps, debits, credits, amounts, abouts, kinds) WITH ORDINALITY
            AS i (key, step, debit, credit, units, about, kind, place)
        JOIN ledger.accounts d ON d.code = i.debit JOIN ledger.accounts c ON c.code = i.credit
    ), leg AS (
        SELECT place, debit AS account, -posted AS change, true AS is_debit FROM item
        UNION ALL SELECT place, credit, posted, false FROM item
    ), running AS (
        SELECT place, is_debit, sum(change) OVER (PARTITION BY account ORDER BY place) AS moved FROM leg
    ), moved AS (
        SELECT account, sum(posted) FILTER (WHERE is_debit) AS debited, sum(posted) FILTER (WHERE NOT is_debit) AS credited,
               sum(waiting) FILTER (WHERE is_debit) AS debits_waiting, sum(waiting) FILTER (WHERE NOT is_debit) AS credits_waiting
        FROM (SELECT debit AS account, posted, units - posted AS waiting, true AS is_debit FROM item
              UNION ALL SELECT credit, posted, units - posted, false FROM item) AS both_legs
        GROUP BY account
    ), balances AS (
        UPDATE ledger.accounts a SET
            debits_posted = a.debits_posted + coalesce(m.debited, 0), credits_posted = a.credits_posted + coalesce(m.credited, 0),
            debits_pending = a.debits_pending + coalesce(m.debits_waiting, 0),
            credits_pending = a.credits_pending + coalesce(m.credits_waiting, 0)
        FROM moved m WHERE a.id = m.account
    ), added AS (
        INSERT INTO ledger.transfers (key, step, debit, credit, units, debit_balance, credit_balance, about, kind)
        SELECT i.key, i.step, i.debit, i.credit, i.units, i.debit_before + d.moved, i.credit_before + c.moved, i.about, i.kind
        FROM item i JOIN running d ON d.place = i.place AND d.is_debit JOIN running c ON c.place = i.place AND NOT c.is_debit
        ORDER BY i.place
        RETURNING seq, key
    )
    SELECT i.place::integer, added.seq, NULL::text FROM added JOIN item i USING (key)
$$;

-- Transfers in order, in the caller's transaction: each is posted, replayed or refused by a named rule.
CREATE FUNCTION ledger.post(
    keys text[], steps text[], debits text[], credits text[], amounts numeric[], settled text[], abouts text[], kinds text[]
) RETURNS SETOF ledger.outcome LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    codes text[];
    i integer;
BEGIN
    -- A post or void touches the accounts that its pending transfer named: the caller repeats them.
    SELECT array_agg(DISTINCT c) INTO codes FROM unnest(debits || credits) AS c;
    PERFORM ledger.lock_accounts(codes);
    IF NOT EXISTS (SELECT FROM ledger.transfers WHERE key = ANY (keys))
       AND array_position(steps, 'post') IS NULL AND array_position(steps, 'void') IS NULL
       AND (SELECT count(DISTINCT k) FROM unnest(keys) AS k) = cardinality(keys)
       AND NOT EXISTS (
           SELECT FROM unnest(debits, credits) AS x (d, c)
           WHERE d = c OR split_part(d, ' ', 2) <> split_part(c, ' ', 2))
       AND NOT EXISTS (
           SELECT FROM (SELECT d, sum(u) AS spent FROM unnest(debits, amounts) AS x (d, u) GROUP BY d) AS spending
           JOIN ledger.accounts a ON a.code = spending.d
           WHERE a.has_floor AND a.credits_posted - a.debits_posted - a.debits_pending < spending.spent)
    THEN
        RETURN QUERY SELECT * FROM ledger.post_together(keys, steps, debits, credits, amounts, abouts, kinds);
        RETURN;
    END IF;
    FOR i IN 1 .. cardinality(keys) LOOP
        RETURN NEXT ledger.post_one(
            i, keys[i], steps[i], debits[i], credits[i], amounts[i], settled[i], abouts[i], kinds[i]);
    END LOOP;
END $$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA ledger FROM PUBLIC;
GRANT USAGE ON SCHEMA ledger TO holdfast_platform;
GRANT SELECT ON ALL TABLES IN SCHEMA ledger TO holdfast_platform;
GRANT EXECUTE ON FUNCTION ledger.post TO holdfast_platform;
