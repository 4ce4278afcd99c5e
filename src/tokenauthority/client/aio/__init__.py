"""The methods of a client and its watch; `scripts/blocking.py` makes the package `blocking` of them."""
