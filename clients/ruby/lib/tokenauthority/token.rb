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

  # Shows TURN credentials by their user name.
  module PrintedByUsername
    def inspect
      "#<#{self.class} #{username}>"
    end

    def to_s
      inspect
    end
  end
  private_constant :PrintedByUsername

  V1::Token.prepend(PrintedById)
  V1::TurnCredentials.prepend(PrintedByUsername)
end
