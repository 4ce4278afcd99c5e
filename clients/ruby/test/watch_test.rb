# frozen_string_literal: true

require_relative "helper"

# A watch goes on where it was, and ends only by `close` or an error that another attempt would meet too.
class WatchTest < Minitest::Test
  include WithAuthority

  Codes = GRPC::Core::StatusCodes

  [nil, Codes::UNAVAILABLE, Codes::CANCELLED, Codes::RESOURCE_EXHAUSTED, Codes::INTERNAL].each do |code|
    define_method("test_a_stream_that_ends_with_#{code || 'no_error'}_is_resumed_after_its_last_message") do
      client, asked = watched([[heartbeat("1"), heartbeat("2")], code], [[heartbeat("3")], nil], project_id: "47")
      lost, tokens = [], []
      client.watch_revocations(resume_token: "0", on_lost: ->(error, _) { lost << error }).each do |found|
        tokens << found.resume_token
        break if found.resume_token == "3"
      end

      assert_equal %w[1 2 3], tokens
      assert_equal %w[0 2], asked.map(&:resume_token)
      assert_equal ["47"], asked.first.project_ids.to_a
      assert_equal 1, lost.size
    end
  end

  def test_an_error_that_another_attempt_would_meet_too_ends_the_watch
    client, asked = watched([[], Codes::PERMISSION_DENIED])

    assert_raises(TokenAuthority::PermissionDenied) { client.watch_revocations.first }
    assert_equal 1, asked.size
  end

  def test_the_credentials_go_with_each_stream
    client, _, presented = watched([[heartbeat("1")], nil])
    client.watch_revocations.first

    assert_equal ["Bearer tak_key"], presented
  end

  UNKNOWN = {
    "an_event_of_a_newer_contract" => V1::WatchRevocationsResponse.new(resume_token: "1"),
    "a_revocation_with_a_target_of_a_newer_contract" => V1::WatchRevocationsResponse.new(revocation: V1::Revocation.new)
  }.freeze

  UNKNOWN.each do |what, newer|
    define_method("test_#{what}_is_an_error_and_is_not_skipped") do
      client, = watched([[newer, heartbeat("2")], nil])

      assert_equal :UNIMPLEMENTED, assert_raises(TokenAuthority::Error) { client.watch_revocations.first }.code
    end
  end

  def test_close_ends_the_watch_while_it_waits
    opened, release = Queue.new, Queue.new
    client = authority(V1::TokenService) do
      opened << true
      release.pop
      []
    end
    watch = client.watch_revocations
    reader = Thread.new { watch.to_a }
    opened.pop
    watch.close

    assert_empty reader.value
  ensure
    release << true
  end

  def test_a_silent_stream_is_opened_again
    release, streams = Queue.new, 0
    client = authority(V1::TokenService) do
      streams += 1
      release.pop if streams == 1
      [heartbeat("1")]
    end
    open = lambda do |token|
      client.tokens.watch_revocations(V1::WatchRevocationsRequest.new(resume_token: token), return_op: true,
                                                                                            deadline: Time.now + 600)
    end
    watch = TokenAuthority::Watch.new("", nil, silence: 0.1, &open)

    assert_equal "1", Timeout.timeout(30) { watch.first.resume_token }
    assert_equal 2, streams
  ensure
    release << true
  end

  private

  def heartbeat(token)
    V1::WatchRevocationsResponse.new(resume_token: token, heartbeat: V1::Heartbeat.new)
  end

  # A client whose n-th stream sends the n-th messages, and then fails with the n-th status.
  def watched(*streams, **options)
    asked, presented = [], []
    client = authority(V1::TokenService, api_key: "tak_key", **options) do |_, request, call|
      messages, code = streams[asked.size]
      asked << request
      presented << call.metadata["authorization"]
      Enumerator.new do |sent|
        messages.each { |each| sent << each }
        raise refusal(code, "lost") if code
      end
    end
    [client, asked, presented]
  end
end
