"""Lets the signer go on, second by second: keeps and judges the journal, matches every outflow, grants leases."""
