"""From the wire to the journal: listeners, connections, slots."""
