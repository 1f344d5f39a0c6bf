"""What clients of other servers share: TLS, secrets kept out of the log, a connection to NATS."""
