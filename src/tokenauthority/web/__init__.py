"""The HTTP routes: public keys for everyone, and health and metrics for operators; none needs a credential."""
