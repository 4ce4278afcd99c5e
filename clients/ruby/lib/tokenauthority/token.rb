# frozen_string_literal: true

module TokenAuthority
  # Shows a new token by its id, where a program prints or logs it as a whole.
  module PrintedById
    def inspect
      "#<#{self.class} #{token_id}>"
    end

    def to_s
      inspect
    end
  end
  private_constant :PrintedById

  V1::Token.prepend(PrintedById)
end
