"""Evidence: symbolic derivations and numeric checks of the claims, one module per paper."""
