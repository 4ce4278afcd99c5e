package io.github.tokenauthority.client;

import com.google.gson.Gson;
import com.google.gson.reflect.TypeToken;
import io.grpc.Channel;
import io.grpc.ChannelCredentials;
import io.grpc.ClientInterceptor;
import io.grpc.Grpc;
import io.grpc.ManagedChannel;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;

/** The one channel of a client, which retries by the published service config and connects again soon. */
final class Connection implements AutoCloseable {
  private static final int MAX_RECEIVE = 48 << 20;
  private static final long RETRY_BUFFER = 11 << 20;
  private static final long RETRY_BUFFERS = 4 * RETRY_BUFFER;
  private static final long RECONNECT_SECONDS = 5;

  private final ManagedChannel channel;
  private final ScheduledExecutorService timer;

  Connection(String address, ChannelCredentials transport, ClientInterceptor defaults) {
    channel =
        Grpc.newChannelBuilder(address, transport)
            .defaultServiceConfig(serviceConfig())
            // DNS may hold another one, but the contract says which calls are safe to repeat.
            .disableServiceConfigLookUp()
            // A proxy would read the API key of a plaintext connection.
            .proxyDetector(target -> null)
            .maxInboundMessageSize(MAX_RECEIVE)
            .perRpcBufferLimit(RETRY_BUFFER)
            .retryBufferSize(RETRY_BUFFERS)
            .keepAliveTime(1, TimeUnit.MINUTES)
            .keepAliveTimeout(20, TimeUnit.SECONDS)
            .intercept(defaults)
            .build();
    timer =
        Executors.newSingleThreadScheduledExecutor(
            task -> {
              var thread = new Thread(task, "tokenauthority");
              thread.setDaemon(true);
              return thread;
            });
    // gRPC waits up to two minutes between two attempts, also when a server is back, and has no option for that.
    timer.scheduleWithFixedDelay(channel::resetConnectBackoff, RECONNECT_SECONDS, RECONNECT_SECONDS, TimeUnit.SECONDS);
  }

  Channel channel() {
    return channel;
  }

  ScheduledExecutorService timer() {
    return timer;
  }

  @Override
  public void close() {
    timer.shutdownNow();
    channel.shutdownNow();
  }

  private static Map<String, ?> serviceConfig() {
    try (var stream = Connection.class.getResourceAsStream("service-config.json")) {
      var reader = new InputStreamReader(stream, StandardCharsets.UTF_8);
      return new Gson().fromJson(reader, new TypeToken<Map<String, Object>>() {}.getType());
    } catch (IOException impossible) {
      throw new UncheckedIOException(impossible);
    }
  }
}
