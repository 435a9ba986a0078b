"""Two thefts side by side: what they share, of which class of evidence, and what that is worth. Pure."""
