"""Who is the active node."""
