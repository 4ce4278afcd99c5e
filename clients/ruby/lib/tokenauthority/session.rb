# frozen_string_literal: true

module TokenAuthority
  # A room that people join.
  class Session
    # The contract's message, as the authority answered it.
    attr_reader :details

    def initialize(client, details)
      @client = client
      @details = details
    end

    def session_id
      details.session_id
    end

    # Generate a token with which one person joins this session; see Client#generate_token.
    def generate_token(**options)
      @client.generate_token(session_id, **options)
    end

    # Create TURN credentials for this session; see Client#create_turn_credentials.
    def create_turn_credentials(**options)
      @client.create_turn_credentials(session_id, **options)
    end

    # Revoke all tokens of this session, which stays open; see Client#revoke_tokens.
    def revoke_tokens(issued_before: nil, comment: nil)
      @client.revoke_tokens(session_id: session_id, issued_before: issued_before, comment: comment)
    end

    # End this session for good; return the ended one.
    def end
      @client.end_session(session_id)
    end

    def to_s
      session_id
    end

    def inspect
      "#<#{self.class} #{session_id}>"
    end
  end
end
