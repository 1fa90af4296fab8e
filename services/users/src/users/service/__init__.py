"""Use cases, one file each. Those that take a connection leave the commit to the caller; those with an engine commit.

Rows of users are locked before anything else of theirs, always in the order of their keys.
"""
