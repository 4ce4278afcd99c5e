# frozen_string_literal: true

# Does with the client what each line of standard input asks for; clients/interop/README.md has the protocol.

$LOAD_PATH.unshift(File.expand_path("../lib", __dir__))
require "base64"
require "json"
require "tokenauthority"

V1 = TokenAuthority::V1

# The operations of the protocol, by their names.
class Driver
  def call(method:, request:)
    service, name = method.split("/")
    stubs = { "SessionService" => client.sessions, "TokenService" => client.tokens, "RoleService" => client.roles,
              "ProjectService" => client.projects, "KeyService" => client.keys }
    service = service.split(".").last
    rpc = V1.const_get(service)::Service.rpc_descs.fetch(name.to_sym)
    answer = stubs.fetch(service).public_send(GRPC::GenericService.underscore(name), rpc.input.decode(Base64.decode64(request)))
    { response: Base64.strict_encode64(answer.to_proto) }
  end

  def create_session(options:)
    { session_id: client.create_session(**options).session_id }
  end

  def generate_token(session_id:, via:, options:)
    made = if via == "session"
             client.get_session(session_id).generate_token(**options)
           else
             client.generate_token(session_id, **options)
           end
    { token: made.token, token_id: made.token_id, expire_time: made.expire_time.seconds }
  end

  def generate_tokens(requests:)
    { tokens: client.generate_tokens(requests).map(&:token) }
  end

  def create_turn_credentials(session_id:, via:, options:)
    made = if via == "session"
             client.get_session(session_id).create_turn_credentials(**options)
           else
             client.create_turn_credentials(session_id, **options)
           end
    { urls: made.urls.to_a, username: made.username, credential: made.credential, expire_time: made.expire_time.seconds,
      shown: "#{made.inspect} #{made}" }
  end

  def verify_token(token:, **options)
    answer = client.verify_token(token, **options)
    reason = answer.active ? "" : answer.reason.to_s.delete_prefix("INACTIVE_REASON_")
    { active: answer.active, reason: reason, role: answer.claims&.role.to_s, data: answer.claims&.data.to_s }
  end

  def revoke_tokens(via: "authority", **options)
    if via == "session"
      client.get_session(options.delete(:session_id)).revoke_tokens(**options)
    else
      client.revoke_tokens(**options)
    end
    {}
  end

  def list_sessions(**options)
    { session_ids: client.list_sessions(**options).map(&:session_id) }
  end

  def end_session(session_id:)
    { state: client.end_session(session_id).details.state.to_s.delete_prefix("SESSION_STATE_").downcase }
  end

  def watch(resume_token: "")
    @watch&.close
    @seen = seen = []
    @losses = losses = []
    on_lost = ->(error, pause) { losses << { code: error.code, pause: pause } }
    @watch = watch = client.watch_revocations(resume_token: resume_token, on_lost: on_lost)
    Thread.new { watch.each { |message| seen << message } }
    {}
  end

  def watched(within:, **wanted)
    wait(within) do
      @seen.dup.each do |message|
        event = message.public_send(message.event)
        next unless [:revocation, :session_end].include?(message.event)
        next unless wanted.all? { |name, value| event.respond_to?(name) && event.public_send(name) == value }

        return { kind: message.event == :revocation ? "revocation" : "ended_session", resume_token: message.resume_token }
      end
    end
  end

  def lost(within:)
    wait(within) { return @losses.first if @losses.any? }
  end

  def load(session_id:, callers:, calls:)
    errors = Queue.new
    threads = Array.new(callers) do
      Thread.new do
        calls.times do
          client.generate_token(session_id)
        rescue TokenAuthority::Error => e
          errors << "#{e.class}: #{e.message}"
        end
      end
    end
    threads.each(&:join)
    { failed: errors.size, errors: Array.new([errors.size, 5].min) { errors.pop } }
  end

  def answer(line)
    request = JSON.parse(line, symbolize_names: true)
    { ok: public_send(request.delete(:op), **request) }
  rescue TokenAuthority::Error => e
    { error: { code: e.code, reason: e.reason, violations: e.violations.map(&:to_h), retry_after: e.retry_after, message: e.message } }
  rescue StandardError => e
    { error: { code: "CLIENT", message: "#{e.class}: #{e.message}" } }
  end

  def close
    @watch&.close
  end

  private

  def wait(within)
    until_time = Time.now + within
    while Time.now < until_time
      yield
      sleep 0.02
    end
    raise ArgumentError, "no such event within #{within} seconds"
  end

  def client
    @client ||= TokenAuthority::Client.from_environment
  end
end

driver = Driver.new
$stdout.sync = true
$stdin.each_line { |line| puts JSON.generate(driver.answer(line)) }
driver.close
