"""The use cases: what the service does, in domain types, without knowing the wire."""
