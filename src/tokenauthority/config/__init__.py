"""The settings of a server, read once, in the composition root."""
