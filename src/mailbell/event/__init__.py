"""Mail becomes an event: pure functions from octets to structs, total over any input."""
