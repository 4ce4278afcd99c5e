package io.github.tokenauthority.client;

import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.tokenauthority.v1.TokenFormat;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Which connections the environment and the options may describe. */
class AuthorityBuilderTest {
  static final String KEY = "tak_0123456789012345678901234567890123456789012";

  @TempDir Path directory;

  @BeforeEach
  void makeFiles() throws IOException {
    Files.writeString(directory.resolve("key"), KEY + "\n");
    Files.writeString(directory.resolve("empty"), " \n");
    Files.writeString(directory.resolve("long"), "x".repeat(Credentials.MAX_FILE + 1));
  }

  /** Variables such as {@code API_KEY= TOKEN_FILE=@file}, beside an address and an API key. {@code @} is the directory. */
  private Map<String, String> variables(String changes) {
    var variables = new HashMap<>(Map.of("TOKENAUTHORITY_ADDRESS", "localhost:1", "TOKENAUTHORITY_API_KEY", KEY));
    for (var change : changes.strip().split("\\s+")) {
      var parts = change.split("=", 2);
      variables.put("TOKENAUTHORITY_" + parts[0], parts[1].replace("@", directory + "/"));
    }
    return variables;
  }

  @ParameterizedTest
  @CsvSource({
    "ADDRESS=, ADDRESS",
    "ADDRESS=localhost, ADDRESS",
    "ADDRESS=https://localhost:1, ADDRESS",
    "API_KEY=, API_KEY API_KEY_FILE TOKEN_FILE CLIENT_CERT_FILE",
    "TOKEN_FILE=@key, API_KEY TOKEN_FILE",
    "API_KEY=ключ, API_KEY",
    "API_KEY= API_KEY_FILE=@absent, API_KEY_FILE",
    "API_KEY= API_KEY_FILE=@, API_KEY_FILE",
    "API_KEY= API_KEY_FILE=@empty, API_KEY_FILE",
    "API_KEY= API_KEY_FILE=@long, API_KEY_FILE",
    "CLIENT_CERT_FILE=@key, CLIENT_CERT_FILE CLIENT_KEY_FILE",
    "CLIENT_KEY_FILE=@key, CLIENT_CERT_FILE CLIENT_KEY_FILE",
    "CLIENT_CERT_FILE=@key CLIENT_KEY_FILE=@empty, CLIENT_CERT_FILE",
    "CA_FILE=@empty, CA_FILE",
    "PLAINTEXT=1 CA_FILE=@key, PLAINTEXT CA_FILE",
    "PLAINTEXT=1 CLIENT_CERT_FILE=@key CLIENT_KEY_FILE=@key, PLAINTEXT CLIENT_CERT_FILE",
    "PLAINTEXT=ture, PLAINTEXT",
    "TIMEOUT=soon, TIMEOUT",
    "TIMEOUT=-1, TIMEOUT",
    "TIMEOUT=0, TIMEOUT",
    "TIMEOUT=NaN, TIMEOUT",
    "TIMEOUT=Infinity, TIMEOUT",
  })
  void refusesAnEnvironmentAndNamesTheVariable(String changes, String named) {
    var error =
        assertThrows(IllegalArgumentException.class, () -> Authority.fromEnvironment(variables(changes)).close());

    for (var name : named.split(" ")) {
      assertTrue(error.getMessage().contains("TOKENAUTHORITY_" + name), error.getMessage());
    }
    assertFalse(error.getMessage().contains(KEY));
  }

  @ParameterizedTest
  @CsvSource({
    "PROJECT_ID=47000000",
    "API_KEY= API_KEY_FILE=@key",
    "API_KEY= TOKEN_FILE=@absent",
    "PLAINTEXT=Yes TIMEOUT=0.5",
    "PLAINTEXT=off CA_FILE=",
  })
  void acceptsWhatTheEnvironmentMayHave(String changes) {
    assertDoesNotThrow(() -> Authority.fromEnvironment(variables(changes)).close());
  }

  @Test
  void refusesOptionsAndNamesThem() {
    var builder = Authority.builder("localhost:1").apiKey(KEY).tokenFile(directory.resolve("key"));

    var error = assertThrows(IllegalArgumentException.class, builder::build);

    assertEquals("apiKey and tokenFile are set: set only one of them", error.getMessage());
  }

  @Test
  void showsNoSecret() {
    var now = Instant.EPOCH;
    var token = new Token(KEY, "id", "s", "1", "publisher", TokenFormat.TOKEN_FORMAT_SESSION_JWT, "k", now, now);

    for (var shown : List.of(Authority.builder("localhost:1").apiKey(KEY), token)) {
      assertFalse(shown.toString().contains(KEY));
    }
  }

  @Test
  void refusesTwoLifetimes() {
    var builder = TokenOptions.builder().ttl(Duration.ZERO);

    assertThrows(IllegalStateException.class, () -> builder.expireTime(Instant.EPOCH));
    assertThrows(IllegalStateException.class, () -> builder.ttl(Duration.ofHours(1)));
    assertTrue(builder.build().forSession("s").hasTtl());
  }

  @Test
  void aTokenIdHasTheProjectOfTheClientAndASessionHasNone() {
    var other = RevokeOptions.builder().projectId("8").build();

    assertEquals("7", RevokeTarget.tokenId("t").request(RevokeOptions.DEFAULT, "7").getProjectId());
    assertEquals("8", RevokeTarget.subject("u").request(other, "7").getProjectId());
    assertEquals("", RevokeTarget.sessionId("s").request(RevokeOptions.DEFAULT, "7").getProjectId());
  }

  @Test
  void refusesAnEmptyTarget() {
    assertThrows(IllegalArgumentException.class, () -> RevokeTarget.token(""));
    assertThrows(IllegalArgumentException.class, () -> RevokeTarget.tokenId(""));
    assertThrows(IllegalArgumentException.class, () -> RevokeTarget.sessionId(""));
    assertThrows(IllegalArgumentException.class, () -> RevokeTarget.subject(""));
  }

  @Test
  void rootCertificatesAreInPem() {
    var builder = Authority.builder("localhost:1").apiKey(KEY).rootCertificates(new byte[] {1});

    var error = assertThrows(IllegalArgumentException.class, builder::build);

    assertEquals("rootCertificates: holds no certificate in PEM", error.getMessage());
    assertThrows(IllegalArgumentException.class, builder.caFile(directory.resolve("key"))::build);
  }
}
