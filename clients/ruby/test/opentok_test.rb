# frozen_string_literal: true

require_relative "helper"
require "tokenauthority/opentok"

# The interface of the OpenTok Ruby SDK; clients/interop runs controllers against a real authority.
class OpenTokTest < Minitest::Test
  include WithAuthority

  def test_a_token_is_the_text_of_a_t1_token
    assert_equal :TOKEN_FORMAT_OPENTOK_T1, asked_for({}).format
  end

  def test_the_type_may_be_a_jwt
    assert_equal :TOKEN_FORMAT_OPENTOK_JWT, asked_for({ token_type: "jwt" }).format
  end

  def test_options_are_read_as_the_sdk_reads_them
    request = asked_for({ "role" => :moderator, :data => 5, :expire_time => 1_900_000_000.9, :initial_layout_class_list => "a b" })

    assert_equal ["moderator", "5", 1_900_000_000, %w[a b]],
                 [request.role, request.data, request.expire_time.seconds, request.initial_layout_class_list.to_a]
  end

  def test_an_expire_time_of_0_means_the_default
    assert_nil asked_for({ expire_time: 0 }).lifetime
  end

  SLIPS = {
    "an_option_that_the_sdk_does_not_have" => [{ ttl: 60 }, ArgumentError], "a_role_of_nil" => [{ role: nil }, RuntimeError],
    "an_unknown_type" => [{ token_type: "T2" }, RuntimeError]
  }.freeze

  SLIPS.each do |what, (options, kind)|
    define_method("test_refuses_#{what}") { assert_raises(kind) { asked_for(options) } }
  end

  def test_a_session_says_what_it_is
    info = V1::Session.new(session_id: "s", media_mode: :MEDIA_MODE_ROUTED, archive_mode: :ARCHIVE_MODE_MANUAL)
    opentok = opentok_of { V1::CreateSessionResponse.new(session: info) }
    session = opentok.create_session(media_mode: :routed)

    assert_equal ["s", "s", :routed, :manual, nil, nil, false, "47"],
                 [session.session_id, session.to_s, session.media_mode, session.archive_mode, session.location,
                  session.archive_name, session.e2ee, session.api_key]
  end

  ERRORS = {
    GRPC::InvalidArgument => [ArgumentError, RuntimeError], GRPC::NotFound => [ArgumentError, RuntimeError],
    GRPC::Unauthenticated => [OpenTok::OpenTokAuthenticationError] * 2,
    GRPC::PermissionDenied => [OpenTok::OpenTokAuthenticationError] * 2, GRPC::FailedPrecondition => [OpenTok::OpenTokError] * 2
  }.freeze

  ERRORS.each do |raised, (of_session, of_token)|
    define_method("test_#{raised.name.split('::').last}_is_what_users_of_the_sdk_rescue") do
      opentok = opentok_of { raise raised, "no" }

      assert_instance_of of_session, assert_raises(StandardError) { opentok.create_session }
      error = assert_raises(StandardError) { opentok.generate_token("s") }
      assert_instance_of of_token, error
      assert_kind_of TokenAuthority::Error, error.cause
    end
  end

  def test_refuses_a_project_secret
    secret = "0123456789abcdef" * 2 + "01234567"
    error = assert_raises(ArgumentError) { OpenTok::OpenTok.new("47", secret) }

    assert_match(/project secret/, error.message)
    refute_match(/#{secret}/, error.full_message)
  end

  private

  def opentok_of(&answer)
    client = authority(V1::SessionService, V1::TokenService, api_key: "tak_key", project_id: "47", &answer)
    OpenTok::OpenTok.new(nil, nil, client: client)
  end

  def asked_for(options)
    asked = nil
    opentok = opentok_of do |_, request, _|
      asked = request.request
      V1::GenerateTokenResponse.new(token: V1::Token.new(token: "T1==x"))
    end

    assert_equal "T1==x", opentok.generate_token("s", options)
    asked
  end
end
