"""Use cases: reading, and everything operators do with generations of the projection and with the journal."""
