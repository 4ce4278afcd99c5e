package io.github.tokenauthority.client;

import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.ForwardingClientCall.SimpleForwardingClientCall;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import java.time.Duration;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;

/** Gives each call its credential, and each call with one answer its deadline. */
final class CallDefaults implements ClientInterceptor {
  private static final Metadata.Key<String> AUTHORIZATION =
      Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);

  private final Duration timeout;
  private final Supplier<String> bearer;

  /**
   * Makes it.
   *
   * @param bearer returns the credential, or throws; null for none
   */
  CallDefaults(Duration timeout, Supplier<String> bearer) {
    this.timeout = timeout;
    this.bearer = bearer;
  }

  @Override
  public <Q, A> ClientCall<Q, A> interceptCall(MethodDescriptor<Q, A> method, CallOptions options, Channel next) {
    var hasDeadline = options.getDeadline() != null || !method.getType().serverSendsOneMessage();
    var limited = hasDeadline ? options : options.withDeadlineAfter(timeout.toNanos(), TimeUnit.NANOSECONDS);
    var call = next.newCall(method, limited);
    if (bearer == null) {
      return call;
    }
    var credential = credential();
    return new SimpleForwardingClientCall<>(call) {
      @Override
      public void start(Listener<A> listener, Metadata headers) {
        headers.put(AUTHORIZATION, "Bearer " + credential);
        super.start(listener, headers);
      }
    };
  }

  private String credential() {
    try {
      return bearer.get();
    } catch (RuntimeException failure) {
      throw new AuthorityException(Status.Code.UNAUTHENTICATED, failure.getMessage(), failure);
    }
  }
}
