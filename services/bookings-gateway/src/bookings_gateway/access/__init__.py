"""Who may do what: staff accounts, sessions, tokens, the policy table, and the audit of every write."""
