package io.github.tokenauthority.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.Any;
import com.google.protobuf.Duration;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import io.github.tokenauthority.v1.GenerateTokenRequest;
import io.github.tokenauthority.v1.WatchRevocationsResponse;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import io.grpc.stub.ServerCallStreamObserver;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.NoSuchElementException;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** What a client makes of a server's answers. */
@Timeout(60)
class AuthorityTest {
  private static final WatchTimes QUICK =
      new WatchTimes(java.time.Duration.ofSeconds(30), java.time.Duration.ofNanos(1), java.time.Duration.ofNanos(1));

  private ScriptedServer server;

  @BeforeEach
  void start() throws IOException {
    server = new ScriptedServer();
  }

  @AfterEach
  void stop() {
    server.close();
  }

  private static AuthorityException fails(Authority authority) {
    return assertThrows(AuthorityException.class, () -> authority.generateToken("s", TokenOptions.DEFAULT));
  }

  @Test
  void anErrorHasWhatTheAuthoritySays() {
    var info = ErrorInfo.newBuilder().setReason("INVALID_FIELD").putMetadata("request_id", "r1");
    var field = BadRequest.FieldViolation.newBuilder().setField("request.ttl").setDescription("is too long");
    var delay = Duration.newBuilder().setSeconds(1).setNanos(500_000_000);
    server.failures.add(
        StatusProto.toStatusException(
            com.google.rpc.Status.newBuilder()
                .setCode(Status.Code.INVALID_ARGUMENT.value())
                .setMessage("no")
                .addDetails(Any.pack(info.build()))
                .addDetails(Any.pack(BadRequest.newBuilder().addFieldViolations(field).build()))
                .addDetails(Any.pack(RetryInfo.newBuilder().setRetryDelay(delay).build()))
                .build()));
    try (var authority = server.client().apiKey(AuthorityBuilderTest.KEY).build()) {
      var error = fails(authority);

      assertEquals(Status.Code.INVALID_ARGUMENT, error.code());
      assertEquals("INVALID_FIELD", error.reason());
      assertEquals("no", error.getMessage());
      assertEquals(List.of(new AuthorityException.Violation("request.ttl", "is too long")), error.violations());
      assertEquals(Optional.of(java.time.Duration.ofMillis(1500)), error.retryAfter());
      assertEquals("r1", error.requestId());
      assertEquals(Map.of("request_id", "r1"), error.metadata());
    }
  }

  @Test
  void aCallHasADeadlineUnlessItHasAnother() {
    try (var authority =
        server.client().apiKey(AuthorityBuilderTest.KEY).timeout(java.time.Duration.ofHours(1)).build()) {
      authority.generateToken("s", TokenOptions.DEFAULT);
      authority.tokens().withDeadlineAfter(2, TimeUnit.MINUTES).generateToken(GenerateTokenRequest.getDefaultInstance());

      assertTrue(server.secondsLeft.get(0) <= 3600);
      assertTrue(server.secondsLeft.get(1) <= 120);
    }
  }

  @Test
  void aTokenFileIsReadForEachCall(@TempDir Path directory) throws IOException {
    var file = Files.writeString(directory.resolve("token"), "first\n");
    try (var authority = server.client().tokenFile(file).build()) {
      authority.generateToken("s", TokenOptions.DEFAULT);
      Files.writeString(file, "second");
      authority.generateToken("s", TokenOptions.DEFAULT);

      assertEquals(List.of("Bearer first", "Bearer second"), server.authorizations);
      for (var content : List.of("", "two words", "x".repeat(Credentials.MAX_CREDENTIAL + 1))) {
        Files.writeString(file, content);
        var error = fails(authority);
        assertEquals(Status.Code.UNAUTHENTICATED, error.code());
        assertTrue(error.getMessage().contains("tokenFile"), error.getMessage());
      }
    }
  }

  @Test
  void credentialsThatFailMakeTheCallFail() {
    List<Supplier<String>> suppliers = List.of(() -> "two words", () -> null, () -> {
      throw new IllegalStateException("no token today");
    });
    for (var supplier : suppliers) {
      try (var authority = server.client().credentials(supplier).build()) {
        var error = fails(authority);
        assertEquals(Status.Code.UNAUTHENTICATED, error.code());
        assertFalse(error.getMessage().contains("two words"));
      }
    }
  }

  @Test
  void aSessionIsRepeatedWithOneRequestId() {
    server.failures.add(ScriptedServer.failure(Status.Code.UNAVAILABLE));
    server.failures.add(ScriptedServer.failure(Status.Code.CANCELLED));
    try (var authority = server.client().apiKey(AuthorityBuilderTest.KEY).build()) {
      authority.createSession(SessionOptions.DEFAULT);

      assertEquals(3, server.requestIds.size());
      assertEquals(1, server.requestIds.stream().distinct().filter(id -> !id.isEmpty()).count());
    }
  }

  @Test
  void aStubKeepsItsOwnException() {
    server.failures.add(ScriptedServer.failure(Status.Code.NOT_FOUND));
    try (var authority = server.client().apiKey(AuthorityBuilderTest.KEY).build()) {
      var request = GenerateTokenRequest.getDefaultInstance();
      var error = assertThrows(StatusRuntimeException.class, () -> authority.tokens().generateToken(request));

      assertEquals(Status.Code.NOT_FOUND, AuthorityException.of(error).code());
    }
  }

  @Test
  void aWatchResumesAfterItsLastEvent() {
    var ends = List.of("", "UNAVAILABLE", "CANCELLED", "RESOURCE_EXHAUSTED", "INTERNAL");
    server.watch =
        (number, stream) -> {
          stream.onNext(heartbeat("x" + number));
          end(stream, ends.get((number - 1) % ends.size()));
        };
    try (var authority = server.client().apiKey(AuthorityBuilderTest.KEY).build(); var watch = watch(authority, QUICK)) {
      for (var number = 1; number <= 6; number++) {
        assertEquals("x" + number, watch.next().getResumeToken());
      }
      assertEquals(List.of("", "x1", "x2", "x3", "x4", "x5"), server.resumeTokens);
    }
  }

  @Test
  void aSilentStreamIsOpenedAgain() {
    server.watch =
        (number, stream) -> {
          if (number > 1) {
            stream.onNext(heartbeat("x"));
          }
        };
    var times = new WatchTimes(java.time.Duration.ofMillis(100), QUICK.first(), QUICK.longest());
    try (var authority = server.client().apiKey(AuthorityBuilderTest.KEY).build(); var watch = watch(authority, times)) {
      assertEquals("x", watch.next().getResumeToken());
    }
  }

  @Test
  void aLossIsReportedWithThePause() {
    server.watch =
        (number, stream) -> {
          stream.onNext(heartbeat("x" + number));
          // Before a message gRPC itself would open the stream again.
          if (number == 1) {
            end(stream, "UNAVAILABLE");
          }
        };
    var lost = new ArrayList<Status.Code>();
    var options = WatchOptions.builder().onLost((error, pause) -> {
      lost.add(error.code());
      assertTrue(pause.compareTo(java.time.Duration.ofSeconds(1)) < 0);
    });
    try (var authority = server.client().apiKey(AuthorityBuilderTest.KEY).build();
        var watch = authority.watchRevocations(options.build()).with(QUICK)) {
      watch.next();
      watch.next();

      assertEquals(List.of(Status.Code.UNAVAILABLE), lost);
    }
  }

  @Test
  void aListWithoutAnEndIsAnError() {
    try (var authority = server.client().apiKey(AuthorityBuilderTest.KEY).build()) {
      var sessions = authority.listSessions(ListOptions.DEFAULT);

      var error = assertThrows(AuthorityException.class, sessions::count);

      assertEquals(Status.Code.DATA_LOSS, error.code());
    }
  }

  @Test
  void aWatchEndsWithAnErrorThatNothingCures() {
    server.watch =
        (number, stream) -> {
          switch (number) {
            case 1 -> stream.onNext(WatchRevocationsResponse.getDefaultInstance());
            case 2 -> end(stream, "PERMISSION_DENIED");
            default -> end(stream, "INVALID_ARGUMENT");
          }
        };
    for (var code : List.of("UNIMPLEMENTED", "PERMISSION_DENIED", "INVALID_ARGUMENT")) {
      try (var authority = server.client().apiKey(AuthorityBuilderTest.KEY).build(); var watch = watch(authority, QUICK)) {
        assertEquals(code, assertThrows(AuthorityException.class, watch::next).code().name());
      }
    }
  }

  @Test
  void aWatchEndsWhenAnotherThreadClosesIt() {
    try (var authority = server.client().apiKey(AuthorityBuilderTest.KEY).build(); var watch = watch(authority, QUICK)) {
      // The stream is open when the server closes the watch.
      server.watch = (number, stream) -> watch.close();

      assertFalse(watch.hasNext());
      assertThrows(NoSuchElementException.class, watch::next);
    }
  }

  private static RevocationWatch watch(Authority authority, WatchTimes times) {
    return authority.watchRevocations(WatchOptions.DEFAULT).with(times);
  }

  private static WatchRevocationsResponse heartbeat(String resumeToken) {
    var event = WatchRevocationsResponse.newBuilder().setResumeToken(resumeToken);
    event.getHeartbeatBuilder();
    return event.build();
  }

  private static void end(ServerCallStreamObserver<WatchRevocationsResponse> stream, String code) {
    if (code.isEmpty()) {
      stream.onCompleted();
    } else {
      stream.onError(ScriptedServer.failure(Status.Code.valueOf(code)));
    }
  }
}
