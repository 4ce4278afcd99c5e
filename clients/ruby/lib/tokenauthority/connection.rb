# frozen_string_literal: true

require "openssl"
require "timeout"

module TokenAuthority
  # How a client reaches the authority: address, credentials, deadline.
  class Connection
    MAX_FILE = 1 << 20
    MAX_TOKEN = 8192
    HEADER_SAFE = "1 to 8192 characters of printable ASCII without spaces"
    CREDENTIAL = /\A[\x21-\x7e]{1,8192}\z/
    SCHEMES = %w[dns ipv4 ipv6 unix unix-abstract vsock xds].freeze
    CHANNEL = {
      "grpc.service_config" => File.read(File.join(__dir__, "service-config.json")),
      "grpc.service_config_disable_resolution" => 1,
      "grpc.max_receive_message_length" => 48 << 20,
      "grpc.per_rpc_retry_buffer_size" => 11 << 20,
      "grpc.enable_http_proxy" => 0,
      # The other proxy of gRPC has no switch, only a range of addresses, and no server has this one.
      "grpc.address_http_proxy_enabled_addresses" => "255.255.255.255/32",
      "grpc.initial_reconnect_backoff_ms" => 500,
      "grpc.min_reconnect_backoff_ms" => 5000,
      "grpc.max_reconnect_backoff_ms" => 5000,
      "grpc.keepalive_time_ms" => 60_000,
      "grpc.keepalive_timeout_ms" => 20_000
    }.freeze
    private_constant :HEADER_SAFE, :CREDENTIAL, :SCHEMES, :CHANNEL

    attr_reader :address, :project_id, :timeout

    # The options are those of Client.new; *names* are what an error calls them.
    def initialize(address:, api_key: nil, api_key_file: nil, token_file: nil, credentials: nil, cert_file: nil, key_file: nil,
                   ca_file: nil, root_certificates: nil, plaintext: false, project_id: nil, timeout: 5, names: {})
      @names = names
      @address, @project_id, @timeout, @plaintext = address.to_s, project_id.to_s, timeout, plaintext
      @bearers = { api_key: api_key, api_key_file: api_key_file, token_file: token_file, credentials: credentials }.compact
      @roots = { ca_file: ca_file, root_certificates: root_certificates }.compact
      @files = { cert_file: cert_file, key_file: key_file }.compact
      problem = find_problem
      raise ArgumentError, problem if problem

      @api_key = find_api_key
      @tls = plaintext ? :this_channel_is_insecure : tls
    end

    # Open a channel; it connects with its first call.
    def open
      GRPC::ClientStub.setup_channel(nil, address, @tls, CHANNEL.dup)
    end

    # Return what a call carries beside its message.
    #
    # Raises Unauthenticated if the credential cannot be had. The message never quotes it.
    def metadata
      bearer = @bearers[:token_file] ? read_token(@bearers[:token_file]) : call_credentials
      bearer ? { "authorization" => "Bearer #{bearer}" } : {}
    end

    def inspect
      "#<#{self.class} #{address}>"
    end

    private

    def find_problem
      scheme, separator = address.partition("://")
      if address.empty? then "#{name(:address)} is not set"
      elsif !address.include?(":") || address.match?(/\s/) || (!separator.empty? && !SCHEMES.include?(scheme))
        "#{name(:address)} must be HOST:PORT, such as localhost:50051"
      # The text "false" would be true.
      elsif ![true, false].include?(@plaintext) then "#{name(:plaintext)} must be true or false"
      elsif !(timeout.is_a?(Numeric) && timeout.to_f.finite? && timeout.positive?)
        "#{name(:timeout)} must be a number of seconds above 0"
      else
        find_wrong_credential
      end
    end

    def find_wrong_credential
      several = [@bearers, @roots].find { |given| given.size > 1 }
      if several then "#{names(several)} are set: set only one of them"
      elsif @files.size == 1 then "#{name(:cert_file)} and #{name(:key_file)} go together: set both or neither"
      elsif @bearers.empty? && @files.empty?
        "no credentials: set #{name(:api_key)}, #{name(:api_key_file)} or #{name(:token_file)}, " \
          "or #{name(:cert_file)} with #{name(:key_file)}"
      elsif @bearers[:credentials] && !@bearers[:credentials].respond_to?(:call) then "credentials must be a Proc"
      elsif @plaintext && (@roots.any? || @files.any?)
        "#{name(:plaintext)} does not go with #{names({ **@roots, **@files })}: they are for TLS"
      end
    end

    def name(option)
      @names.fetch(option, option)
    end

    def names(given)
      given.keys.map { |option| name(option) }.join(" and ")
    end

    def find_api_key
      option = [:api_key, :api_key_file].find { |each| @bearers[each] }
      return unless option

      key = option == :api_key ? @bearers[option] : read(option, @bearers[option]).strip
      return key if CREDENTIAL.match?(key)

      raise ArgumentError, "#{name(option)}#{option == :api_key ? ' must be' : ': the file must hold'} #{HEADER_SAFE}"
    end

    def read(option, path)
      content = File.binread(path, MAX_FILE + 1) || ""
      raise ArgumentError, "#{name(option)} #{path}: has more than #{MAX_FILE} bytes" if content.bytesize > MAX_FILE

      content
    end

    def tls
      ca = @roots[:root_certificates] || (@roots[:ca_file] && read(:ca_file, @roots[:ca_file]))
      cert, key = @files.map { |option, path| read(option, path) }
      raise ArgumentError, "#{names(@roots)}: holds no certificate in PEM" if ca && !ca.include?("-----BEGIN CERTIFICATE-----")
      return GRPC::Core::ChannelCredentials.new(ca) unless cert
      return GRPC::Core::ChannelCredentials.new(ca, key, cert) if pair?(cert, key)

      raise ArgumentError, "#{names(@files)}: not a certificate and its private key in PEM, without a password"
    end

    def pair?(cert, key)
      # Without a password OpenSSL would ask for one on the terminal.
      OpenSSL::X509::Certificate.new(cert).check_private_key(OpenSSL::PKey.read(key, ""))
    rescue OpenSSL::OpenSSLError
      false
    end

    def read_token(path)
      # Anything but a regular file could block, or have no end.
      raise Unauthenticated, "token_file #{path}: is not a regular file" unless File.file?(path)

      content = File.binread(path, MAX_TOKEN + 1).to_s
      return content.strip if content.bytesize <= MAX_TOKEN && CREDENTIAL.match?(content.strip)

      raise Unauthenticated, "token_file #{path}: the file must hold #{HEADER_SAFE}"
    rescue SystemCallError => e
      raise Unauthenticated, "token_file #{path}: #{e.class}"
    end

    def call_credentials
      return @api_key unless @bearers[:credentials]

      begin
        found = Timeout.timeout(timeout) { @bearers[:credentials].call }
      rescue StandardError => e
        raise Unauthenticated, "credentials failed: #{e.class}", cause: nil
      end
      return found if found.is_a?(String) && CREDENTIAL.match?(found)

      raise Unauthenticated, "credentials must return #{HEADER_SAFE}"
    end
  end

  # Gives each call of a stub its credentials, and raises Errors. It does not reach calls with `return_op: true`.
  class CallInterceptor < GRPC::ClientInterceptor
    def initialize(connection)
      super()
      @connection = connection
    end

    def request_response(metadata:, **)
      metadata.merge!(@connection.metadata)
      Error.translate { yield }
    end

    def server_streamer(metadata:, **)
      metadata.merge!(@connection.metadata)
      Error.translate { yield }
    end
  end
  private_constant :CallInterceptor
end
