"""The HTTP routes: public keys, health and metrics; none needs a credential."""
