"""Warning others: what may leave, in formats and over protocols that others read, and asking without telling."""
