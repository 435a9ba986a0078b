"""One security event: what happened when, the sealed files that show it, who was told and who decided what."""
