"""Pictures of a trace: reduced so that people can read them, laid out from left to right, drawn, and as a page."""
