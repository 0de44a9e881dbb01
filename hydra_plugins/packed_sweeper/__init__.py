"""A sweeper that does not compose what its launcher will compose, and writes nothing itself."""
