"""A bench of networks whose pathologies are known, for measuring how far the diagnosis can be trusted."""
