# frozen_string_literal: true

module TokenAuthority
  # A client of one authority as one caller. Threads may share one; make it after a fork, as gRPC does not survive one.
  #
  # Every call may raise an Error. An option that does not exist or is invalid is an ArgumentError or a TypeError, before
  # anything is sent. `sessions`, `tokens`, `roles`, `projects` and `keys` are the stubs of the contract, with the same
  # credentials, deadline, retries and errors.
  class Client
    attr_reader :sessions, :tokens, :roles, :projects, :keys, :project_id

    # Return the client that the variables `TOKENAUTHORITY_...` describe; *options* replace what they say.
    def self.from_environment(variables = ENV, **options)
      new(**Environment.options(variables), **options)
    end

    # Make a client; its first call connects. It needs one of api_key, api_key_file, token_file and credentials, a client
    # certificate, or both.
    #
    # address:: `host:port`, or another target of gRPC.
    # api_key, api_key_file:: `tak_...`, or the file that holds it, which is read once.
    # token_file:: a file with the bearer credential; read again for each call, at most 8192 bytes.
    # credentials:: a Proc that returns the bearer credential; called for each call.
    # cert_file, key_file:: PEM files of a client certificate and its private key.
    # ca_file, root_certificates:: the certificate authorities to trust: a PEM file or its text; default: those that gRPC knows.
    # plaintext:: true for no TLS, on loopback only: everybody on the network path can read the credential and the tokens.
    # project_id:: the project of a call that names none; required if the caller may use several.
    # timeout:: the seconds that a call may take, its retries included; default 5.
    def initialize(**options)
      @connection = Connection.new(**options)
      @project_id = @connection.project_id
      @channel = @connection.open
      @sessions, @tokens, @roles, @projects, @keys =
        [V1::SessionService, V1::TokenService, V1::RoleService, V1::ProjectService, V1::KeyService].map { |service| stub(service) }
    end

    # Create a session in the client's project.
    #
    # media_mode:: :relayed (default) or :routed.
    # archive_mode:: :manual (default) or :always, which needs a routed session.
    # location:: an IPv4 address: a hint where the first person connects from.
    # e2ee:: whether media is encrypted end to end; needs a routed session and manual archiving.
    # archive_name, archive_resolution:: need archive_mode :always.
    # name:: the room on real-time servers, 1 to 64 of a-z, 0-9, - and _; default: the session id.
    # request_id:: a UUID that makes the call safe to repeat for 24 hours; default: a fresh one.
    def create_session(**options)
      session(sessions.create_session(Requests.create_session(project_id, **options)))
    end

    # Return the session with this id.
    def get_session(session_id)
      session(sessions.get_session(V1::GetSessionRequest.new(session_id: session_id)))
    end

    # Return an Enumerator of the sessions of the client's project, newest first; it fetches page after page.
    #
    # state:: :active or :ended; default: both.
    # page_size:: how many sessions one call fetches, at most 1000; default: 50.
    def list_sessions(state: nil, page_size: nil)
      return enum_for(:list_sessions, state: state, page_size: page_size) unless block_given?

      request = Requests.list_sessions(project_id, state: state, page_size: page_size)
      loop do
        page = sessions.list_sessions(request)
        page.sessions.each { |details| yield Session.new(self, details) }
        break if page.next_page_token.empty?
        raise Error.new("the authority sent a list without an end", code: :DATA_LOSS) if page.next_page_token == request.page_token

        request.page_token = page.next_page_token
      end
    end

    # End a session for good: it gets no more tokens, and its tokens become invalid. To end it twice changes nothing.
    def end_session(session_id)
      session(sessions.end_session(V1::EndSessionRequest.new(session_id: session_id)))
    end

    # Generate a token with which one person joins the session.
    #
    # role:: "publisher" (default), "subscriber", "publisheronly", "moderator" or one of the project's own.
    # data:: connection data, at most 1000 characters. Everyone in the session can read it: no personal data.
    # expire_time:: when it expires: a Time or seconds since 1970, within 30 days; not together with ttl.
    # ttl:: how many seconds it lives, at most 30 days.
    # format:: such as :session_jwt; default: the project's.
    # initial_layout_class_list:: the layout classes that the person's streams start with.
    # subject:: the end user's id, at most 255 characters, by which tokens can be revoked; not for OpenTok and Vonage.
    def generate_token(session_id, **options)
      tokens.generate_token(V1::GenerateTokenRequest.new(request: Requests.token(session_id, **options))).token
    end

    # Generate 1 to 1000 tokens in one call, all or none, in the order of *requests*: Hashes with session_id and the options
    # of `generate_token`.
    def generate_tokens(requests)
      tokens.batch_generate_tokens(Requests.batch(requests)).tokens.to_a
    end

    # Create a user name and a password with which one person's client uses the authority's TURN servers. Return a
    # V1::TurnCredentials: urls, username, credential and expire_time.
    #
    # subject:: the end user's id, at most 255 characters. TURN servers see a pseudonym in its place.
    # ttl:: how many seconds the credentials are valid, at most an hour.
    def create_turn_credentials(session_id, **options)
      tokens.create_turn_credentials(Requests.turn_credentials(session_id, **options)).credentials
    end

    # Check whether a token is valid now: ask `active` of the answer. An invalid token is no error.
    #
    # session_id:: the session that it must be for.
    # required_permissions:: what it must allow, such as [:publish].
    def verify_token(token, **options)
      tokens.verify_token(Requests.verify(token, **options))
    end

    # Revoke exactly one of token, token_id, session_id and subject, which is not empty. It is durable when the call returns.
    #
    # project_id:: the project of token_id and subject; default: the client's.
    # issued_before:: only tokens issued in this second or earlier: a Time or seconds since 1970; default: now.
    # comment:: for the audit log and for watchers, at most 256 characters.
    def revoke_tokens(**options)
      tokens.revoke_tokens(Requests.revoke(project_id, **options)).revocation
    end

    # Watch revocations and ended sessions: those in force, then each as it happens. Return a Watch.
    #
    # project_ids:: the projects to watch; an empty list for all of the caller. Default: the client's project, or all.
    # resume_token:: that of an earlier watch, to go on after its last message.
    # on_lost:: a Proc that is called when the stream breaks off, with the Error and the seconds until the next attempt.
    def watch_revocations(project_ids: nil, resume_token: "", on_lost: nil)
      project_ids ||= [project_id].reject(&:empty?)
      Watch.new(resume_token, on_lost) do |token|
        # Interceptors do not reach an operation, and only an operation can be cancelled.
        tokens.watch_revocations(
          V1::WatchRevocationsRequest.new(project_ids: project_ids, resume_token: token),
          deadline: GRPC::Core::TimeConsts::INFINITE_FUTURE, return_op: true, metadata: @connection.metadata
        )
      end
    end

    # Close the connection. Close a Watch before it.
    def close
      @channel.close
    end

    def inspect
      "#<#{self.class} #{@connection.address}>"
    end

    private

    def stub(service)
      service::Stub.new(@connection.address, nil, channel_override: @channel, timeout: @connection.timeout,
                                                  interceptors: [CallInterceptor.new(@connection)])
    end

    def session(answer)
      Session.new(self, answer.session)
    end
  end
end
