package io.github.tokenauthority.client;

import io.github.tokenauthority.v1.CreateSessionRequest;
import io.github.tokenauthority.v1.CreateSessionResponse;
import io.github.tokenauthority.v1.GenerateTokenRequest;
import io.github.tokenauthority.v1.GenerateTokenResponse;
import io.github.tokenauthority.v1.ListSessionsRequest;
import io.github.tokenauthority.v1.ListSessionsResponse;
import io.github.tokenauthority.v1.SessionServiceGrpc;
import io.github.tokenauthority.v1.TokenServiceGrpc;
import io.github.tokenauthority.v1.WatchRevocationsRequest;
import io.github.tokenauthority.v1.WatchRevocationsResponse;
import io.grpc.Context;
import io.grpc.Grpc;
import io.grpc.InsecureServerCredentials;
import io.grpc.Metadata;
import io.grpc.Server;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import io.grpc.Status;
import io.grpc.StatusException;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeUnit;
import java.util.function.BiConsumer;

/** A real server on a port of its own, which answers as a test says, and what it received. */
final class ScriptedServer implements AutoCloseable {
  final List<String> authorizations = new CopyOnWriteArrayList<>();
  final List<Long> secondsLeft = new CopyOnWriteArrayList<>();
  final List<String> requestIds = new CopyOnWriteArrayList<>();
  final List<String> resumeTokens = new CopyOnWriteArrayList<>();

  /** The errors of the next calls, in their order; then calls succeed. */
  final List<StatusException> failures = new CopyOnWriteArrayList<>();

  /** Answers WatchRevocations, given the number of the call. */
  volatile BiConsumer<Integer, ServerCallStreamObserver<WatchRevocationsResponse>> watch;

  private final Server server;

  ScriptedServer() throws IOException {
    server =
        Grpc.newServerBuilderForPort(0, InsecureServerCredentials.create())
            .addService(new Sessions())
            .addService(new Tokens())
            .intercept(new Recorder())
            .build()
            .start();
  }

  AuthorityBuilder client() {
    return Authority.builder("127.0.0.1:" + server.getPort()).plaintext().projectId("7");
  }

  @Override
  public void close() {
    server.shutdownNow();
  }

  private <A> void answer(A answer, StreamObserver<A> observer) {
    if (failures.isEmpty()) {
      observer.onNext(answer);
      observer.onCompleted();
    } else {
      observer.onError(failures.remove(0));
    }
  }

  private final class Sessions extends SessionServiceGrpc.SessionServiceImplBase {
    @Override
    public void createSession(CreateSessionRequest request, StreamObserver<CreateSessionResponse> observer) {
      requestIds.add(request.getRequestId());
      answer(CreateSessionResponse.getDefaultInstance(), observer);
    }

    @Override
    public void listSessions(ListSessionsRequest request, StreamObserver<ListSessionsResponse> observer) {
      answer(ListSessionsResponse.newBuilder().setNextPageToken("same").build(), observer);
    }
  }

  private final class Tokens extends TokenServiceGrpc.TokenServiceImplBase {
    @Override
    public void generateToken(GenerateTokenRequest request, StreamObserver<GenerateTokenResponse> observer) {
      answer(GenerateTokenResponse.getDefaultInstance(), observer);
    }

    @Override
    public void watchRevocations(WatchRevocationsRequest request, StreamObserver<WatchRevocationsResponse> observer) {
      resumeTokens.add(request.getResumeToken());
      watch.accept(resumeTokens.size(), (ServerCallStreamObserver<WatchRevocationsResponse>) observer);
    }
  }

  private final class Recorder implements ServerInterceptor {
    @Override
    public <Q, A> ServerCall.Listener<Q> interceptCall(
        ServerCall<Q, A> call, Metadata headers, ServerCallHandler<Q, A> next) {
      authorizations.add(headers.get(Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER)));
      var deadline = Context.current().getDeadline();
      secondsLeft.add(deadline == null ? Long.MAX_VALUE : deadline.timeRemaining(TimeUnit.SECONDS));
      return next.startCall(call, headers);
    }
  }

  static StatusException failure(Status.Code code) {
    return new StatusException(code.toStatus());
  }
}
