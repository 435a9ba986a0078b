"""The officers' document, and the one function that decides a payout: pure."""
