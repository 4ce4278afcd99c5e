# frozen_string_literal: true

require_relative "helper"
require "json"

# What calls send, refuse, repeat and raise.
class ClientTest < Minitest::Test
  include WithAuthority

  Codes = GRPC::Core::StatusCodes

  def test_a_session_is_created_in_the_clients_project_with_an_id_that_makes_a_retry_safe
    asked = []
    client = authority(V1::SessionService, api_key: "tak_key", project_id: "47") do |_, request, _|
      asked << request
      V1::CreateSessionResponse.new(session: V1::Session.new(session_id: "s"))
    end
    sessions = [client.create_session(media_mode: :routed), client.create_session]

    assert_equal %w[s s], sessions.map(&:session_id)
    assert_equal %w[47 47], asked.map(&:project_id)
    assert_equal :MEDIA_MODE_ROUTED, asked.first.media_mode
    assert_equal 2, asked.map(&:request_id).uniq.size
  end

  def test_lifetimes_are_whole_seconds
    asked = []
    client = authority(V1::TokenService) do |_, request, _|
      asked << request.request
      V1::GenerateTokenResponse.new(token: V1::Token.new)
    end
    client.generate_token("s", ttl: 1.9)
    client.generate_token("s", expire_time: Time.at(1_900_000_000, 999, :millisecond))
    client.generate_token("s", expire_time: 1_900_000_000)

    assert_equal [1, 1_900_000_000, 1_900_000_000], (asked.map { |request| request.public_send(request.lifetime).seconds })
  end

  def test_a_token_is_not_shown_when_it_is_printed
    token = V1::Token.new(token: "secret", token_id: "id")

    assert_equal ["#<TokenAuthority::V1::Token id>"] * 2, [token.inspect, token.to_s]
  end

  def test_turn_credentials_are_for_whole_seconds_and_not_shown
    asked = []
    client = authority(V1::TokenService) do |_, request, _|
      asked << request
      V1::CreateTurnCredentialsResponse.new(credentials: V1::TurnCredentials.new(username: "1:a", credential: "secret"))
    end
    made = client.create_turn_credentials("s", subject: "alice", ttl: 1.9)
    client.create_turn_credentials("s")

    assert_equal [["s", "alice", 1], ["s", "", nil]], asked.map { |request| [request.session_id, request.subject, request.ttl&.seconds] }
    assert_equal ["secret", *["#<TokenAuthority::V1::TurnCredentials 1:a>"] * 2], [made.credential, made.inspect, made.to_s]
  end

  SLIPS = {
    "a_misspelt_option_of_a_session" => ->(client) { client.create_session(mediaMode: :routed) },
    "an_unknown_value" => ->(client) { client.create_session(media_mode: :route) },
    "both_lifetimes" => ->(client) { client.generate_token("s", ttl: 1, expire_time: 2) },
    "a_ttl_that_is_no_number" => ->(client) { client.generate_token("s", ttl: "90") },
    "a_misspelt_option_in_a_batch" => ->(client) { client.generate_tokens([{ session_id: "s", expires: 1 }]) },
    "a_batch_without_a_session" => ->(client) { client.generate_tokens([{ role: "publisher" }]) },
    "a_misspelt_option_of_turn_credentials" => ->(client) { client.create_turn_credentials("s", TTL: 1) },
    "a_misspelt_requirement" => ->(client) { client.verify_token("t", permissions: [:publish]) },
    "an_unknown_permission" => ->(client) { client.verify_token("t", required_permissions: [:publishing]) },
    "a_token_that_is_none" => ->(client) { client.verify_token(nil) },
    "two_targets" => ->(client) { client.revoke_tokens(token: "t", subject: "u") },
    "two_targets_of_which_one_is_empty" => ->(client) { client.revoke_tokens(session_id: "s", subject: "") },
    "an_empty_target" => ->(client) { client.revoke_tokens(subject: "") },
    "no_target" => ->(client) { client.revoke_tokens(comment: "c") },
    "a_misspelt_field_of_a_stub" => ->(_) { V1::VerifyTokenRequest.new(token: "t", sessionId: "s") }
  }.freeze

  SLIPS.each do |what, slip|
    define_method("test_refuses_#{what}_before_anything_is_sent") do
      sent = false
      client = authority(V1::SessionService, V1::TokenService) { sent = true }
      error = assert_raises(StandardError) { slip.call(client) }

      assert [ArgumentError, TypeError, KeyError].any? { |kind| error.is_a?(kind) }, error.inspect
      refute sent
    end
  end

  def test_a_token_that_is_no_text_gets_an_answer
    asked = []
    client = authority(V1::TokenService) do |_, request, _|
      asked << request.token
      V1::VerifyTokenResponse.new(active: false)
    end
    ["\xff", "\xff".b].each { |token| refute client.verify_token(token).active }

    assert_equal ["?", "?"], asked
  end

  def test_an_error_has_the_contracts_reason_violations_and_pause
    details = [
      Google::Rpc::ErrorInfo.new(reason: "RATE_LIMIT", metadata: { "limit" => "rate", "request_id" => "r1" }),
      Google::Rpc::BadRequest.new(
        field_violations: [Google::Rpc::BadRequest::FieldViolation.new(field: "requests[17].role", description: "is unknown")]
      ),
      Google::Rpc::RetryInfo.new(retry_delay: Google::Protobuf::Duration.new(seconds: 1, nanos: 500_000_000))
    ]
    client = authority(V1::SessionService) { raise refusal(Codes::RESOURCE_EXHAUSTED, "too many calls", *details) }
    error = assert_raises(TokenAuthority::ResourceExhausted) { client.get_session("s") }

    assert_equal [:RESOURCE_EXHAUSTED, "RATE_LIMIT", 1.5, "r1", "rate", "too many calls"],
                 [error.code, error.reason, error.retry_after, error.request_id, error.metadata["limit"], error.message]
    assert_equal [["requests[17].role", "is unknown"]], error.violations.map(&:to_a)
  end

  def test_each_status_has_its_class
    statuses = {
      Codes::INVALID_ARGUMENT => TokenAuthority::InvalidArgument, Codes::UNAUTHENTICATED => TokenAuthority::Unauthenticated,
      Codes::PERMISSION_DENIED => TokenAuthority::PermissionDenied, Codes::NOT_FOUND => TokenAuthority::NotFound,
      Codes::ALREADY_EXISTS => TokenAuthority::AlreadyExists, Codes::DATA_LOSS => TokenAuthority::Error,
      Codes::FAILED_PRECONDITION => TokenAuthority::FailedPrecondition
    }
    code = nil
    client = authority(V1::SessionService) { raise refusal(code, "no") }
    statuses.each do |status, kind|
      code = status
      assert_instance_of kind, assert_raises(TokenAuthority::Error) { client.get_session("s") }
    end
  end

  def test_details_that_a_proxy_garbled_count_as_none
    info = Google::Protobuf::Any.new(type_url: "type.googleapis.com/google.rpc.ErrorInfo", value: "\xff".b)
    garbled = Google::Rpc::Status.new(code: Codes::NOT_FOUND, details: [info]).to_proto
    ["\xff\xff".b, garbled].each do |details|
      client = authority(V1::SessionService) { raise GRPC::NotFound.new("no", { "grpc-status-details-bin" => details }) }
      error = assert_raises(TokenAuthority::NotFound) { client.get_session("s") }

      assert_equal ["", []], [error.reason, error.violations]
      teardown
    end
  end

  # That gRPC itself acts by this config, `make interop` shows: a Ruby server sends headers first, after which gRPC repeats nothing.
  def test_the_channel_has_the_contracts_retries
    methods = JSON.parse(File.read(File.expand_path("../lib/tokenauthority/service-config.json", __dir__)))["methodConfig"]
    codes = methods.flat_map { |found| found["name"].map { |name| [name["method"], found["retryPolicy"]["retryableStatusCodes"]] } }.to_h

    assert_equal %w[UNAVAILABLE CANCELLED], codes["VerifyToken"]
    assert_equal %w[UNAVAILABLE], codes["CreateRole"]
    refute_includes codes, "CreateProject"
  end

  def test_a_list_without_an_end_is_an_error
    client = authority(V1::SessionService) { V1::ListSessionsResponse.new(next_page_token: "same") }

    assert_equal :DATA_LOSS, assert_raises(TokenAuthority::Error) { client.list_sessions.to_a }.code
  end
end
