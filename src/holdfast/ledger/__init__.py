"""Accounts and transfers: nothing is changed, only added."""
