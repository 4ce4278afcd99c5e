# frozen_string_literal: true

# From nothing to a token: make run; source .tokenauthority/dev.env; ruby -I clients/ruby/lib clients/ruby/examples/quickstart.rb
require "tokenauthority"

client = TokenAuthority::Client.from_environment
begin
  session = client.create_session(media_mode: :routed)
  token = session.generate_token(role: "publisher", data: "username=bob", ttl: 3600).token
  puts token

  answer = client.verify_token(token, session_id: session.session_id, required_permissions: [:publish])
  puts "active #{answer.active}"
rescue TokenAuthority::Error => e
  warn "#{e.code} #{e.reason} #{e.violations}"
  exit 1
end
