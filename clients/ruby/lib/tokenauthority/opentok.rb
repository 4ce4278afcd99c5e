# frozen_string_literal: true

require_relative "../tokenauthority"

raise LoadError, "load tokenauthority/opentok or opentok, not both: they define the same names" if defined?(OpenTok::OpenTok)

# The interface of the OpenTok Ruby SDK for sessions and tokens, in front of an authority: the project secret stays there.
# What needs a media server, such as `archives`, is not here.
module OpenTok
  # A failed call; its `cause` is the TokenAuthority::Error.
  class OpenTokError < StandardError; end
  # The credential is invalid, or its grant does not allow the call.
  class OpenTokAuthenticationError < OpenTokError; end

  # Raise what users of the SDK rescue; *invalid* is the class for an argument that the authority refuses.
  def self.translate(invalid)
    yield
  rescue TokenAuthority::InvalidArgument, TokenAuthority::NotFound => e
    raise invalid, e.message
  rescue TokenAuthority::Unauthenticated, TokenAuthority::PermissionDenied => e
    raise OpenTokAuthenticationError, e.message
  rescue TokenAuthority::Error => e
    raise OpenTokError, e.message
  end
  private_class_method :translate

  # Creates sessions and generates their tokens.
  class OpenTok
    PROJECT_SECRET = /\A\h{40}\z/
    SESSION_OPTIONS = [:media_mode, :location, :archive_mode, :archive_name, :archive_resolution, :e2ee].freeze
    TOKEN_OPTIONS = [:role, :expire_time, :data, :initial_layout_class_list, :token_type].freeze
    FORMATS = { "T1" => :opentok_t1, "JWT" => :opentok_jwt }.freeze
    private_constant :PROJECT_SECRET, :SESSION_OPTIONS, :TOKEN_OPTIONS, :FORMATS

    # The project's id.
    attr_reader :api_key

    # api_key:: the project's id, which OpenTok calls API key; default: `TOKENAUTHORITY_PROJECT_ID`.
    # api_secret:: the API key of the authority (`tak_...`), and never the project secret; default: the credential in the
    #              environment, which also says where the authority is.
    # opts:: `:timeout_length` are the seconds that a call may take. `:client` is a TokenAuthority::Client to use instead of all
    #        this. `:ua_addendum` has no meaning here.
    def initialize(api_key = nil, api_secret = nil, opts = {})
      refuse_unknown(opts, [:timeout_length, :client, :ua_addendum])
      raise ArgumentError, "api_secret is a project secret: it stays in the authority. Give an API key of the authority" \
        if PROJECT_SECRET.match?(api_secret.to_s)

      @client = opts[:client] || connect(api_key, api_secret, opts[:timeout_length])
      @api_key = @client.project_id
    end

    # Create a session.
    #
    # opts:: `:media_mode` (:relayed or :routed), `:location`, `:archive_mode` (:manual or :always), `:archive_name`,
    #        `:archive_resolution`, `:e2ee`.
    #
    # Raises ArgumentError for options that are invalid or exclude each other.
    def create_session(opts = {})
      options = refuse_unknown(opts, SESSION_OPTIONS)
      Session.new(self, ::OpenTok.send(:translate, ArgumentError) { @client.create_session(**options) }.details)
    end

    # Generate a token and return its text.
    #
    # opts:: `:role` (:publisher, :subscriber, :publisheronly, :moderator), `:expire_time` (a Time or seconds since 1970; 0 for
    #        the default), `:data`, `:initial_layout_class_list`, `:token_type` ("T1", the default, or "JWT").
    #
    # Raises RuntimeError for an option that is invalid, or a session of another project.
    def generate_token(session_id, opts = {})
      options = refuse_unknown(opts, TOKEN_OPTIONS)
      type = options.delete(:token_type) || "T1"
      format = FORMATS.fetch(type.to_s.upcase) { raise "token_type must be T1 or JWT" }
      raise "role must not be nil" if options.fetch(:role, :publisher).nil?

      layout = options[:initial_layout_class_list]
      options[:initial_layout_class_list] = layout.to_s.split if layout && !layout.is_a?(Array)
      options[:data] = options[:data]&.to_s
      options[:expire_time] = nil if options[:expire_time].to_i.zero?
      ::OpenTok.send(:translate, RuntimeError) { @client.generate_token(session_id.to_s, format: format, **options).token }
    end

    def inspect
      "#<#{self.class} #{api_key}>"
    end

    private

    def connect(api_key, api_secret, timeout)
      variables = ENV.to_h
      if api_secret
        %w[API_KEY_FILE TOKEN_FILE].each { |name| variables.delete("TOKENAUTHORITY_#{name}") }
        variables["TOKENAUTHORITY_API_KEY"] = api_secret.to_s
      end
      options = { project_id: api_key&.to_s, timeout: timeout }.compact
      TokenAuthority::Client.from_environment(variables, **options)
    end

    # The SDK drops an option that it does not know; here a misspelt one must not make another token than was meant.
    def refuse_unknown(opts, known)
      options = opts.to_h.transform_keys(&:to_sym)
      unknown = options.keys - known
      raise ArgumentError, "unknown option #{unknown.join(', ')}; known are #{known.join(', ')}" unless unknown.empty?

      options
    end
  end

  # A session that was created.
  class Session
    attr_reader :session_id, :media_mode, :location, :archive_mode, :archive_name, :archive_resolution, :e2ee

    def initialize(opentok, details)
      @opentok = opentok
      @session_id = details.session_id
      @media_mode = details.media_mode.to_s.delete_prefix("MEDIA_MODE_").downcase.to_sym
      @archive_mode = details.archive_mode.to_s.delete_prefix("ARCHIVE_MODE_").downcase.to_sym
      @location = details.location unless details.location.empty?
      @archive_name, @archive_resolution = details.archive_name, details.archive_resolution if archive_mode == :always
      @e2ee = details.e2ee
    end

    def api_key
      @opentok.api_key
    end

    # Generate a token of this session and return its text; see OpenTok#generate_token.
    def generate_token(opts = {})
      @opentok.generate_token(session_id, opts)
    end

    def to_s
      session_id
    end
  end
end
