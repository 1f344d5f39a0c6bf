"""The journal: mail on stable storage, and durable consumers of it."""
