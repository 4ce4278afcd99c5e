package io.github.tokenauthority.client;

import java.nio.file.Path;
import java.time.Duration;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.function.Function;
import java.util.function.Supplier;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/**
 * Says where the authority is, and proves who calls it: by one of apiKey, apiKeyFile, tokenFile and credentials, by a client
 * certificate, or by both. {@link #toString} does not show the API key.
 */
public final class AuthorityBuilder {
  private static final Set<String> YES = Set.of("1", "true", "yes", "on", "t", "y");
  private static final Set<String> NO = Set.of("", "0", "false", "no", "off", "f", "n");
  private static final Pattern TARGET = Pattern.compile("(dns|unix|xds):");
  private static final double MAX_SECONDS = 9e9;

  private final String address;
  private Function<Option, String> name = Option::inBuilder;
  private String apiKey = "";
  private String apiKeyFile = "";
  private String tokenFile = "";
  private Supplier<String> credentials;
  private String certFile = "";
  private String keyFile = "";
  private String caFile = "";
  private boolean plaintext;
  private String projectId = "";
  private Duration timeout = Duration.ofSeconds(5);

  AuthorityBuilder(String address) {
    this.address = address;
  }

  static AuthorityBuilder fromEnvironment(Map<String, String> variables) {
    Function<Option, String> value = option -> variables.getOrDefault(option.inEnvironment(), "");
    var builder = new AuthorityBuilder(value.apply(Option.ADDRESS));
    builder.name = Option::inEnvironment;
    builder.apiKey = value.apply(Option.API_KEY);
    builder.apiKeyFile = value.apply(Option.API_KEY_FILE);
    builder.tokenFile = value.apply(Option.TOKEN_FILE);
    builder.certFile = value.apply(Option.CLIENT_CERT_FILE);
    builder.keyFile = value.apply(Option.CLIENT_KEY_FILE);
    builder.caFile = value.apply(Option.CA_FILE);
    builder.plaintext = parseFlag(value.apply(Option.PLAINTEXT));
    builder.projectId = value.apply(Option.PROJECT_ID);
    builder.timeout = parseSeconds(value.apply(Option.TIMEOUT), builder.timeout);
    return builder;
  }

  /** Sets the API key. */
  public AuthorityBuilder apiKey(String key) {
    apiKey = key;
    return this;
  }

  /** Sets a file with the API key. It is read once. */
  public AuthorityBuilder apiKeyFile(Path file) {
    apiKeyFile = file.toString();
    return this;
  }

  /** Sets a file with a JWT or an API key, of at most 8192 bytes. It is read again for each call. */
  public AuthorityBuilder tokenFile(Path file) {
    tokenFile = file.toString();
    return this;
  }

  /** Sets what returns a JWT or an API key. It is called for each call, from any thread. */
  public AuthorityBuilder credentials(Supplier<String> supplier) {
    credentials = supplier;
    return this;
  }

  /** Sets a client certificate with its chain, and its key without a password, in PEM. They are read once. */
  public AuthorityBuilder clientCertificate(Path certificate, Path key) {
    certFile = certificate.toString();
    keyFile = key.toString();
    return this;
  }

  /** Sets the certificate authorities to trust, in PEM; default: those of Java. */
  public AuthorityBuilder caFile(Path file) {
    caFile = file.toString();
    return this;
  }

  /** Turns TLS off: everybody on the network path can then read the API key and the tokens. */
  public AuthorityBuilder plaintext() {
    plaintext = true;
    return this;
  }

  /** Sets the project of a call that names none. Required if the caller may use several projects. */
  public AuthorityBuilder projectId(String id) {
    projectId = id;
    return this;
  }

  /** Sets how long a call may take, its retries included; default: 5 seconds. It does not limit a watch. */
  public AuthorityBuilder timeout(Duration longest) {
    timeout = longest;
    return this;
  }

  /**
   * Makes the client. It connects with its first call.
   *
   * @throws IllegalArgumentException an option is invalid, or a file cannot be read. The message names the option and does
   *     not hold the API key
   */
  public Authority build() {
    check();
    var bearer = bearer();
    var transport =
        plaintext ? Transport.plaintext() : Transport.tls(caFile, certFile, keyFile, name);
    return new Authority(new Connection(address, transport, new CallDefaults(timeout, bearer)), projectId);
  }

  @Override
  public String toString() {
    return "AuthorityBuilder[address=" + address + ", projectId=" + projectId + "]";
  }

  private void check() {
    require(!address.isEmpty(), "%s is not set", Option.ADDRESS);
    // Any other URI than these of gRPC, such as that of a web page, is a mistake.
    require(
        address.contains(":") && (!address.contains("://") || TARGET.matcher(address).lookingAt()),
        "%s must be HOST:PORT, without a scheme such as https://",
        Option.ADDRESS);
    require(timeout.toNanos() > 0, "%s must be more than 0 seconds", Option.TIMEOUT);
    require(!plaintext || caFile.isEmpty(), "%s does not go with %s", Option.PLAINTEXT, Option.CA_FILE);
    require(!plaintext || certFile.isEmpty(), "%s does not go with %s", Option.PLAINTEXT, Option.CLIENT_CERT_FILE);
    require(
        certFile.isEmpty() == keyFile.isEmpty(),
        "%s and %s go together: set both or neither",
        Option.CLIENT_CERT_FILE,
        Option.CLIENT_KEY_FILE);
    var given =
        Stream.of(
                apiKey.isEmpty() ? null : Option.API_KEY,
                apiKeyFile.isEmpty() ? null : Option.API_KEY_FILE,
                tokenFile.isEmpty() ? null : Option.TOKEN_FILE,
                credentials == null ? null : Option.CREDENTIALS)
            .filter(option -> option != null)
            .map(name)
            .toList();
    if (given.size() > 1) {
      throw new IllegalArgumentException(String.join(" and ", given) + " are set: set only one of them");
    }
    require(
        !given.isEmpty() || !certFile.isEmpty(),
        "no credentials: set %s, %s, %s or %s",
        Option.API_KEY,
        Option.API_KEY_FILE,
        Option.TOKEN_FILE,
        Option.CLIENT_CERT_FILE);
    require(
        apiKey.isEmpty() || Credentials.isHeaderSafe(apiKey), "%s has characters that no API key has", Option.API_KEY);
  }

  private void require(boolean holds, String message, Option... named) {
    if (!holds) {
      throw new IllegalArgumentException(message.formatted((Object[]) Stream.of(named).map(name).toArray(String[]::new)));
    }
  }

  /** Returns what gives each call its credential; null for none. */
  private Supplier<String> bearer() {
    if (!apiKeyFile.isEmpty()) {
      var key = Credentials.read(name.apply(Option.API_KEY_FILE), apiKeyFile, Credentials.MAX_FILE);
      return () -> key;
    }
    if (!tokenFile.isEmpty()) {
      return () -> Credentials.read(name.apply(Option.TOKEN_FILE), tokenFile, Credentials.MAX_CREDENTIAL);
    }
    if (credentials != null) {
      return () -> Credentials.requireUsable(name.apply(Option.CREDENTIALS), credentials.get());
    }
    return apiKey.isEmpty() ? null : () -> apiKey;
  }

  private static boolean parseFlag(String text) {
    var value = text.strip().toLowerCase(Locale.ROOT);
    if (!YES.contains(value) && !NO.contains(value)) {
      throw new IllegalArgumentException(
          Option.PLAINTEXT.inEnvironment() + " must be one of 1, true, yes, on, 0, false, no, off");
    }
    return YES.contains(value);
  }

  private static Duration parseSeconds(String text, Duration usual) {
    if (text.isEmpty()) {
      return usual;
    }
    try {
      var seconds = Double.parseDouble(text);
      if (seconds > 0 && seconds < MAX_SECONDS) {
        return Duration.ofNanos(Math.max(1, (long) (seconds * 1e9)));
      }
    } catch (NumberFormatException notANumber) {
      // As any other value that is refused.
    }
    throw new IllegalArgumentException(Option.TIMEOUT.inEnvironment() + " must be a number of seconds above 0");
  }
}
