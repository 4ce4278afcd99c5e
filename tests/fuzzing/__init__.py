"""A fuzzer of VerifyToken: cases from seeds, a world with fixed keys, and a judge that reads tokens for itself.

`make fuzz` runs it for as long as it is told to, and the tests for a moment.
"""
