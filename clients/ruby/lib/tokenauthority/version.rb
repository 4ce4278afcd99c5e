# frozen_string_literal: true

module TokenAuthority
  # That of the contract.
  VERSION = "0.1.0"
end
