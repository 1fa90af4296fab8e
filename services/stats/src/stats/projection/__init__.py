"""The projection, written once, in SQL: the same statements live and in a rebuild, over a slice of the journal.

A slice is the window ``(after_xid, after_seq) < (xid, seq) <= (to_xid, to_seq)``. ``:report`` says whether the touched
users are wanted; the bulk of a rebuild has no use for them.
"""
