"""The inbox: an index of the journal that can be searched, and rebuilt at any time."""
