"""What a merchant installs: verify every address, watch invoices, trust nobody."""
