"""Who gets the new answers, and whether they are the old ones."""
