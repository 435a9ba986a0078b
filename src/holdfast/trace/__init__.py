"""Follows stolen money on chain: where it is now, through whom it went, and how sure that is."""
