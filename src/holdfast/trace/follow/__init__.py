"""Following stolen money through stored transfers: pure, exact, and every step with its reason."""
