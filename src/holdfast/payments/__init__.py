"""The platform: money in, from request to credit; money out, from the order to its block; reconciliation."""
