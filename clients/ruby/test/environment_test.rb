# frozen_string_literal: true

require_relative "helper"

# The environment and the options say where the authority is, and nothing invalid passes.
class EnvironmentTest < Minitest::Test
  include WithAuthority

  ADDRESS = { "ADDRESS" => "localhost:1" }.freeze
  KEY = { **ADDRESS, "API_KEY" => "tak_secret" }.freeze
  REFUSED = {
    "no address" => [{ "API_KEY" => "tak_secret" }, /TOKENAUTHORITY_ADDRESS is not set/],
    "an address without a port" => [{ **KEY, "ADDRESS" => "localhost" }, /must be HOST:PORT/],
    "an address of another scheme" => [{ **KEY, "ADDRESS" => "https://localhost:1" }, /must be HOST:PORT/],
    "no credentials" => [ADDRESS, /TOKENAUTHORITY_TOKEN_FILE/],
    "two credentials" => [{ **KEY, "TOKEN_FILE" => "x" }, /only one/],
    "an API key with a space" => [{ **KEY, "API_KEY" => "tak_secret x" }, /API_KEY must be 1 to 8192/],
    "a certificate without its key" => [{ **ADDRESS, "CLIENT_CERT_FILE" => "x" }, /go together/],
    "a flag that is none" => [{ **KEY, "PLAINTEXT" => "maybe" }, /PLAINTEXT must be/],
    "plaintext with a CA" => [{ **KEY, "PLAINTEXT" => "1", "CA_FILE" => "x" }, /does not go with/],
    "a timeout that is none" => [{ **KEY, "TIMEOUT" => "5s" }, /TIMEOUT must be/],
    "a timeout of nothing" => [{ **KEY, "TIMEOUT" => "0" }, /above 0/]
  }.freeze

  REFUSED.each do |what, (variables, problem)|
    define_method("test_refuses_#{what.tr(' ', '_')}_and_does_not_show_the_key") do
      error = assert_raises(ArgumentError) { TokenAuthority::Client.from_environment(named(variables)) }

      assert_match problem, error.message
      refute_match(/tak_secret/, error.full_message)
    end
  end

  def test_refuses_a_ca_file_without_a_certificate
    with_file("x") { |path| assert_raises(ArgumentError) { TokenAuthority::Client.from_environment(named({ **KEY, "CA_FILE" => path })) } }
  end

  def test_root_certificates_are_text_in_pem_in_place_of_a_file
    options = { address: "localhost:1", api_key: "tak_secret", root_certificates: "x" }

    assert_equal "root_certificates: holds no certificate in PEM",
                 assert_raises(ArgumentError) { TokenAuthority::Client.new(**options) }.message
    assert_match(/are set/, assert_raises(ArgumentError) { TokenAuthority::Client.new(**options, ca_file: "x") }.message)
  end

  def test_refuses_files_that_are_no_certificate_and_key
    with_file("x") do |path|
      variables = named({ **ADDRESS, "CLIENT_CERT_FILE" => path, "CLIENT_KEY_FILE" => path })
      assert_match(/not a certificate/, assert_raises(ArgumentError) { TokenAuthority::Client.from_environment(variables) }.message)
    end
  end

  def test_refuses_an_option_that_does_not_exist
    assert_raises(ArgumentError) { TokenAuthority::Client.new(address: "localhost:1", api_key: "tak_secret", plain_text: true) }
  end

  def test_a_client_does_not_show_its_api_key
    client = TokenAuthority::Client.new(address: "localhost:1", api_key: "tak_secret")

    refute_match(/tak_secret/, client.inspect + client.sessions.inspect)
  end

  def test_the_file_of_the_api_key_is_read_without_white_space
    with_file(" tak_file\n") { |path| assert TokenAuthority::Client.from_environment(named({ **ADDRESS, "API_KEY_FILE" => path })) }
  end

  def test_a_token_file_is_read_again_for_each_call
    with_file("first\n") do |path|
      client, presented = recording(token_file: path)
      client.get_session("s")
      File.write(path, "second\n")
      client.get_session("s")

      assert_equal ["Bearer first", "Bearer second"], presented
    end
  end

  def test_a_proc_gives_the_credential_of_each_call
    numbers = 1.step
    client, presented = recording(credentials: -> { "jwt#{numbers.next}" })
    2.times { client.get_session("s") }

    assert_equal ["Bearer jwt1", "Bearer jwt2"], presented
  end

  UNUSABLE = {
    "no_file" => { token_file: "/nowhere/token" }, "a_directory" => { token_file: "/" },
    "a_proc_that_fails" => { credentials: -> { raise "tak_secret" } },
    "a_proc_that_returns_two_lines" => { credentials: -> { "tak_secret\nx" } }
  }.freeze

  UNUSABLE.each do |what, options|
    define_method("test_#{what}_gives_no_credential_and_nothing_is_sent") do
      client, presented = recording(**options)
      error = assert_raises(TokenAuthority::Unauthenticated) { client.get_session("s") }

      refute_match(/tak_secret/, error.full_message)
      assert_empty presented
    end
  end

  def test_a_token_file_of_8193_bytes_gives_no_credential
    ["x" * 8193, "x#{"\n" * 8192}"].each do |content|
      with_file(content) do |path|
        assert_raises(TokenAuthority::Unauthenticated) { recording(token_file: path).first.get_session("s") }
        teardown
      end
    end
  end

  private

  def named(variables)
    variables.transform_keys { |name| "TOKENAUTHORITY_#{name}" }
  end

  def with_file(content)
    Tempfile.create("tokenauthority") do |file|
      file.write(content)
      file.flush
      yield file.path
    end
  end

  def recording(**options)
    presented = []
    client = authority(V1::SessionService, **options) do |_, _, call|
      presented << call.metadata["authorization"]
      V1::GetSessionResponse.new(session: V1::Session.new(session_id: "s"))
    end
    [client, presented]
  end
end
