"""Pages: checkout."""
