"""The servicers of the contract: each method maps in, calls one use case and maps out."""
