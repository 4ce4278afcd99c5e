"""What happens around every RPC, in this order: request, metrics, audit, errors, admission, authentication, authorization."""
