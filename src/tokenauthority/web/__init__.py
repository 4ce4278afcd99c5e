"""The HTTP face: public keys, health and metrics; nothing that needs a credential."""
