"""Pages: checkout, what works."""
