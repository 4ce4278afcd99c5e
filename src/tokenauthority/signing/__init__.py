"""The signing core: keys, the key ring, one codec per token format, sealing and the JWKS. No I/O, no clock."""
