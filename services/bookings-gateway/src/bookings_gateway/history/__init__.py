"""Moving the history across: what was in the legacy table before, told once through the live code."""
