-- Payouts that the quorum orders out of the vault itself: the float never pays them, the officers do.
ALTER TABLE payments.payouts ADD COLUMN is_direct boolean NOT NULL DEFAULT false;

-- The quorum's order stands whatever the merchant ordered here under the same number or reference.
DROP INDEX payments.payouts_merchant_id_reference_idx, payments.payouts_merchant_id_number_idx;
CREATE UNIQUE INDEX ON payments.payouts (merchant_id, reference) WHERE slot IS NULL AND NOT is_direct;
CREATE UNIQUE INDEX ON payments.payouts (merchant_id, number) WHERE slot IS NULL AND NOT is_direct;
CREATE INDEX ON payments.payouts (merchant_id, number) WHERE slot IS NULL;
CREATE INDEX ON payments.payouts (network, id) WHERE is_direct;

-- Which direct payout a payment of the vault to somebody else is a line of.
ALTER TABLE payments.vault_payments ADD COLUMN payout_id text REFERENCES payments.payouts;
CREATE INDEX ON payments.vault_payments (payout_id) WHERE payout_id IS NOT NULL;

GRANT UPDATE (is_direct) ON payments.payouts TO holdfast_platform;
GRANT UPDATE (payout_id) ON payments.vault_payments TO holdfast_platform;
