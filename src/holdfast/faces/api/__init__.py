"""The merchant API, version 1."""
