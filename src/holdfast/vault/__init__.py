"""The officers' offline tool: quorum, certificates."""
