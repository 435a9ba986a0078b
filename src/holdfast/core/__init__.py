"""Money, assets, networks, certificates, addresses: pure values."""
