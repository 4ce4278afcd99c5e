# frozen_string_literal: true

require_relative "lib/tokenauthority/version"

Gem::Specification.new do |spec|
  spec.name = "tokenauthority"
  spec.version = TokenAuthority::VERSION
  spec.summary = "Client of Token Authority: creates sessions, generates, verifies and revokes their tokens"
  spec.authors = ["The Token Authority authors"]
  spec.homepage = "https://github.com/tokenauthority/tokenauthority"
  spec.license = "Apache-2.0"
  spec.files = Dir["lib/**/*.{rb,json}", "README.md"]
  spec.required_ruby_version = ">= 3.1"
  # The stubs are those of protoc 3.21, whose form protobuf 4 does not load.
  spec.add_dependency "google-protobuf", ">= 3.21", "< 4"
  spec.add_dependency "googleapis-common-protos-types", "~> 1.4"
  spec.add_dependency "grpc", "~> 1.51"
  spec.metadata = { "rubygems_mfa_required" => "true" }
end
