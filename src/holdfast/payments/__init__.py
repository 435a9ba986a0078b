"""Invoices, deposits, addresses, rates, events and webhooks: money in, from request to credit."""
