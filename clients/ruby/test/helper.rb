# frozen_string_literal: true

require "google/rpc/status_pb"
require "minitest/autorun"
require "tempfile"
require "tokenauthority"

V1 = TokenAuthority::V1

# A server of gRPC in this process, whose calls blocks answer.
class FakeAuthority
  attr_reader :client

  # *services*: the generated services; the block gets each call's name, message and the server's view of the call.
  def initialize(*services, **options, &answer)
    @server = GRPC::RpcServer.new(pool_size: 4)
    port = @server.add_http2_port("127.0.0.1:0", :this_port_is_insecure)
    services.each { |service| @server.handle(implementation(service, answer)) }
    @thread = Thread.new { @server.run }
    @server.wait_till_running
    options = { api_key: "tak_key" } if options.empty?
    @client = TokenAuthority::Client.new(address: "127.0.0.1:#{port}", plaintext: true, timeout: 30, **options)
  end

  def stop
    @client.close
    @server.stop
    @thread.join
  end

  private

  def implementation(service, answer)
    Class.new(service::Service) do
      service::Service.rpc_descs.each_key do |rpc|
        name = GRPC::GenericService.underscore(rpc.to_s)
        define_method(name) { |request, call| answer.call(name.to_sym, request, call) }
      end
    end.new
  end
end

# Starts a server for a test, and stops it.
module WithAuthority
  def authority(*services, **options, &answer)
    @authority = FakeAuthority.new(*services, **options, &answer)
    @authority.client
  end

  def teardown
    @authority&.stop
    @authority = nil
  end
end

# A gRPC error with details, as the authority sends it.
def refusal(code, message, *details, metadata: {})
  packed = details.map { |detail| Google::Protobuf::Any.pack(detail) }
  status = Google::Rpc::Status.new(code: code, message: message, details: packed)
  GRPC::BadStatus.new_status_exception(code, message, { "grpc-status-details-bin" => status.to_proto, **metadata })
end
