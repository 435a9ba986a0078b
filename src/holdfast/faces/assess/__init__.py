"""The risk assessment: what is known of keys, grants, limits, settings and dependencies, and what is wrong with it."""
