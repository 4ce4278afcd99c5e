"""Ask the OpenTok or Vonage platform for session ids."""
