"""The signing core: keys, their ring, one codec per token format, sealing, the JWKS. No I/O, no clock."""
