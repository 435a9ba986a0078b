"""The signer: it holds the float keys, believes nobody, and signs what a merchant signed and the policy allows."""
