"""Facts from nodes of this family."""
