"""Lets the signer go on, second by second: keeps the journal and grants leases."""
