# frozen_string_literal: true

# The examples of docs/clients/ruby.md; `make interop` runs them.
require "tokenauthority"

# --8<-- [start:credentials]
def renewed
  TokenAuthority::Client.new(address: "tokens.example.com:50051", ca_file: "ca.pem", project_id: "47000000",
                             token_file: "/var/run/secrets/tokens/tokenauthority") # read for each call
end

def called
  TokenAuthority::Client.new(address: "tokens.example.com:50051", credentials: -> { File.read("jwt").strip }) # for each call
end

def certified
  TokenAuthority::Client.new(address: "tokens.example.com:50052", ca_file: "ca.pem", cert_file: "svid.pem", key_file: "svid.key")
end
# --8<-- [end:credentials]

client = TokenAuthority::Client.from_environment

# --8<-- [start:batch]
session = client.create_session
first, second = client.generate_tokens(
  [
    { session_id: session.session_id, role: "moderator", subject: "user-1", format: :session_jwt },
    { session_id: session.session_id, role: "subscriber", ttl: 3600 }
  ]
)
answer = client.verify_token(second.token, session_id: session.session_id, required_permissions: [:publish])
puts answer.active, answer.reason # false INACTIVE_REASON_PERMISSION_MISSING
client.revoke_tokens(token: second.token, comment: "left the company")
client.revoke_tokens(subject: "user-1")
session.end
puts client.verify_token(first.token).reason # INACTIVE_REASON_SESSION_ENDED or INACTIVE_REASON_REVOKED
# --8<-- [end:batch]

# --8<-- [start:list]
client.list_sessions(state: :active).first(100).each { |found| puts found.session_id, found.details.media_mode }
# --8<-- [end:list]

# --8<-- [start:watch]
client.watch_revocations.each do |message|
  case message.event
  when :revocation, :session_end
    puts "disconnect #{message}"
  when :snapshot_end
    puts "complete, resume with #{message.resume_token}"
    break # a real program goes on
  end
end
# --8<-- [end:watch]

# --8<-- [start:errors]
begin
  client.create_session.generate_token(ttl: 31 * 24 * 3600)
rescue TokenAuthority::InvalidArgument => e
  puts e.reason, e.violations.map { |violation| "#{violation.field} #{violation.problem}" }
rescue TokenAuthority::ResourceExhausted => e
  puts "#{e.reason}: wait #{e.retry_after}"
rescue TokenAuthority::Error => e
  puts e.code, e.message, e.request_id
end
# --8<-- [end:errors]

# --8<-- [start:others]
request = TokenAuthority::V1::ListRolesRequest.new(project_id: client.project_id)
puts client.roles.list_roles(request).roles.map(&:name)
# --8<-- [end:others]
