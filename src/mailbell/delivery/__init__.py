"""From the journal to the sinks: one durable consumer a sink."""
