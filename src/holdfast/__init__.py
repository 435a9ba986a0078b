"""Self-hosted crypto payments whose online servers cannot spend the merchants' money."""
