"""A laboratory: small models of which everything is known, and figures that show the theory at work."""
