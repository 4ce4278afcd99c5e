# frozen_string_literal: true

# Does with the official Ruby SDK what each line of standard input asks for; README.md has the protocol.
# The environment variable OPENTOK_RUBY_SDK names a checkout of the SDK.
$LOAD_PATH.unshift File.join(ENV.fetch("OPENTOK_RUBY_SDK"), "lib")
require "json"
require "opentok"

CLIENT = OpenTok::OpenTok.new(
  ENV.fetch("OPENTOK_API_KEY"), ENV.fetch("OPENTOK_API_SECRET"), api_url: ENV.fetch("OPENTOK_API_URL")
)
CALLS = {
  "signal" => ->(id) { CLIENT.signals.send(id, "", { type: "chat", data: "hi" }) },
  "disconnect" => ->(id) { CLIENT.connections.forceDisconnect(id, "connection") },
  "mute" => ->(id) { CLIENT.streams.force_mute(id, "stream") },
  "mute_all" => ->(id) { CLIENT.streams.force_mute_all(id, {}) },
  "archive" => ->(id) { CLIENT.archives.create(id) }
}.freeze

def create(options)
  modes = %w[media_mode archive_mode]
  given = options.to_h { |name, value| [name.to_sym, modes.include?(name) ? value.to_sym : value] }
  { session_id: CLIENT.create_session(given).session_id }
end

def token(session_id, legacy, options)
  given = options.transform_keys(&:to_sym).merge(role: options["role"].to_sym)
  given[:token_type] = "T1" if legacy
  { token: CLIENT.generate_token(session_id, given) }
end

$stdout.sync = true
$stdin.each_line do |line|
  request = JSON.parse(line)
  answer =
    begin
      done =
        case request["op"]
        when "create" then create(request["options"])
        when "token" then token(*request.values_at("session_id", "legacy", "options"))
        when "call" then CALLS.fetch(request["what"]).call(request["session_id"]) && {}
        end
      { ok: done || {} }
    rescue StandardError => e
      { error: { code: e.class.name, message: e.message } }
    end
  puts JSON.generate(answer)
end
