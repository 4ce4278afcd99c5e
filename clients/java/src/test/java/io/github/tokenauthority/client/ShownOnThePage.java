package io.github.tokenauthority.client;

import io.github.tokenauthority.v1.ListRolesRequest;
import io.github.tokenauthority.v1.Permission;
import io.github.tokenauthority.v1.SessionState;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.function.Consumer;

/** The code of docs/clients/java.md, so that it compiles. */
final class ShownOnThePage {
  private ShownOnThePage() {}

  static Authority build() {
    // --8<-- [start:builder]
    var authority =
        Authority.builder("tokens.example.com:50051")
            .caFile(Path.of("ca.pem"))
            .tokenFile(Path.of("/var/run/secrets/tokens/tokenauthority"))
            .projectId("47000000")
            .build();
    // --8<-- [end:builder]
    return authority;
  }

  static Authority buildWithCredentials() {
    // --8<-- [start:credentials]
    var authority =
        Authority.builder("tokens.example.com:50051")
            .credentials(
                () -> {
                  try {
                    return Files.readString(Path.of("/var/run/secrets/tokens/tokenauthority")).strip();
                  } catch (java.io.IOException unreadable) {
                    throw new java.io.UncheckedIOException(unreadable);
                  }
                })
            .build();
    // --8<-- [end:credentials]
    return authority;
  }

  static void batch(Authority authority, String sessionId) {
    // --8<-- [start:batch]
    var tokens =
        authority.generateTokens(
            List.of(
                TokenOptions.builder().role("moderator").subject("user-1").build().forSession(sessionId),
                TokenOptions.builder().role("subscriber").build().forSession(sessionId)));
    var wanted = VerifyOptions.builder().sessionId(sessionId).requiredPermissions(Permission.PERMISSION_PUBLISH).build();
    var verified = authority.verifyToken(tokens.get(1).token(), wanted);
    System.out.println(verified.getActive() + " " + verified.getReason()); // false INACTIVE_REASON_PERMISSION_MISSING
    var options = RevokeOptions.builder().comment("left the company").build();
    authority.revokeTokens(RevokeTarget.subject("user-1"), options);
    // --8<-- [end:batch]
  }

  static void list(Authority authority) {
    // --8<-- [start:list]
    var active = ListOptions.builder().state(SessionState.SESSION_STATE_ACTIVE).build();
    authority.listSessions(active).limit(100).forEach(session -> System.out.println(session.sessionId()));
    // --8<-- [end:list]
  }

  static void watch(Authority authority, Consumer<String> store) {
    // --8<-- [start:watch]
    try (var watch = authority.watchRevocations(WatchOptions.DEFAULT)) {
      for (var event : watch) {
        switch (event.getEventCase()) {
          case REVOCATION -> System.out.println("revoked " + event.getRevocation());
          case SESSION_END -> System.out.println("ended " + event.getSessionEnd().getSessionId());
          default -> { }
        }
        store.accept(event.getResumeToken());
      }
    }
    // --8<-- [end:watch]
  }

  static void errors(Authority authority, String sessionId) {
    // --8<-- [start:errors]
    try {
      authority.generateToken(sessionId, TokenOptions.builder().role("moderator").build());
    } catch (AuthorityException error) {
      switch (error.code()) {
        case INVALID_ARGUMENT -> error.violations().forEach(each -> System.out.println(each.field() + " " + each.problem()));
        case RESOURCE_EXHAUSTED -> System.out.println(error.reason() + ", wait " + error.retryAfter());
        case DEADLINE_EXCEEDED -> System.out.println("no answer in time");
        default -> System.out.println(error.reason() + " " + error.requestId() + " " + error.getMessage());
      }
    }
    // --8<-- [end:errors]
  }

  static void roles(Authority authority, String projectId) {
    // --8<-- [start:roles]
    var request = ListRolesRequest.newBuilder().setProjectId(projectId).build();
    var roles = AuthorityException.translate(() -> authority.roles().listRoles(request)).getRolesList();
    // --8<-- [end:roles]
    System.out.println(roles);
  }
}
