# frozen_string_literal: true

require "securerandom"

module TokenAuthority
  # Builds the contract's requests from the options of calls. Ruby refuses a keyword that does not exist.
  module Requests
    module_function

    def create_session(project_id, media_mode: nil, archive_mode: nil, location: nil, e2ee: nil, archive_name: nil,
                       archive_resolution: nil, name: nil, request_id: nil)
      V1::CreateSessionRequest.new(
        project_id: project_id, media_mode: value("media_mode", V1::MediaMode, media_mode),
        archive_mode: value("archive_mode", V1::ArchiveMode, archive_mode), location: location, e2ee: e2ee,
        archive_name: archive_name, archive_resolution: archive_resolution, name: name,
        request_id: request_id || SecureRandom.uuid
      )
    end

    def list_sessions(project_id, state:, page_size:)
      V1::ListSessionsRequest.new(project_id: project_id, state: value("state", V1::SessionState, state), page_size: page_size)
    end

    def token(session_id, role: nil, data: nil, expire_time: nil, ttl: nil, format: nil, initial_layout_class_list: nil,
              subject: nil)
      raise ArgumentError, "give expire_time or ttl, not both" if expire_time && ttl

      V1::TokenRequest.new(
        session_id: session_id, role: role&.to_s, data: data, subject: subject,
        expire_time: moment("expire_time", expire_time), ttl: duration("ttl", ttl),
        format: value("format", V1::TokenFormat, format), initial_layout_class_list: initial_layout_class_list || []
      )
    end

    def batch(requests)
      V1::BatchGenerateTokensRequest.new(requests: requests.map { |each| token(each.fetch(:session_id), **each.except(:session_id)) })
    end

    def turn_credentials(session_id, subject: nil, ttl: nil)
      V1::CreateTurnCredentialsRequest.new(session_id: session_id, subject: subject, ttl: duration("ttl", ttl))
    end

    def verify(token, session_id: nil, required_permissions: [])
      raise TypeError, "token must be a String, not #{token.class}" unless token.is_a?(String)

      # Whoever presents a token must get an answer, and must not cause an error.
      readable = token.encode(Encoding::UTF_8, invalid: :replace, undef: :replace, replace: "?")
      permissions = required_permissions.map { |name| value("required_permissions", V1::Permission, name) }
      V1::VerifyTokenRequest.new(token: readable, session_id: session_id, required_permissions: permissions)
    end

    def revoke(default_project, token: nil, token_id: nil, session_id: nil, subject: nil, project_id: nil, issued_before: nil,
               comment: nil)
      targets = { token: token, token_id: token_id, session_id: session_id, subject: subject }
      given = targets.compact
      raise ArgumentError, "give exactly one of #{targets.keys.join(', ')}" unless given.size == 1
      raise ArgumentError, "#{given.keys.first} must not be empty" if given.values.first == ""

      V1::RevokeTokensRequest.new(
        **given, project_id: project_id || (default_project if token_id || subject),
                 issued_before: moment("issued_before", issued_before), comment: comment
      )
    end

    # Return the value of *enum* that a short name such as :routed means.
    def value(name, enum, given)
      values = enum.descriptor.map { |known, _| known }
      prefix = values.first.to_s.delete_suffix("UNSPECIFIED")
      wanted = :"#{prefix}#{(given || 'unspecified').to_s.upcase}"
      return wanted if values.include?(wanted)

      choices = values.drop(1).map { |known| ":#{known.to_s.delete_prefix(prefix).downcase}" }
      raise ArgumentError, "#{name} must be one of #{choices.join(', ')}"
    end

    def moment(name, at)
      at && Google::Protobuf::Timestamp.new(seconds: at.is_a?(Time) ? at.to_i : whole(name, at))
    end

    def duration(name, seconds)
      seconds && Google::Protobuf::Duration.new(seconds: whole(name, seconds))
    end

    def whole(name, number)
      raise TypeError, "#{name} must be a number of seconds, not #{number.class}" unless number.is_a?(Numeric)

      number.to_i
    end

    private_class_method :value, :moment, :duration, :whole
  end
  private_constant :Requests
end
