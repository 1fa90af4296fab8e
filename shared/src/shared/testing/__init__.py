"""Fakes for tests, held to the same behaviour suites as the real parts."""
