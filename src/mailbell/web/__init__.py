"""The page and the API, over the inbox and the journal."""
