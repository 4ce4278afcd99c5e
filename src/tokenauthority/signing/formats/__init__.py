"""The codecs: one module for each token format, named as the format is, and the registry that finds them."""
