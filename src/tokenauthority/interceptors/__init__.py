"""What happens around every RPC: request, metrics, audit, errors, admission, authentication, limits, authorization."""
