"""Token Authority: a service that holds the signing secrets of real-time sessions and makes their tokens."""

__version__ = "0.1.0"
