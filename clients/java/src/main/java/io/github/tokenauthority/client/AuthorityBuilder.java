package io.github.tokenauthority.client;

import java.nio.file.Path;
import java.time.Duration;
import java.util.EnumMap;
import java.util.List;
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

  private final Map<Option, String> texts = new EnumMap<>(Option.class);
  private Function<Option, String> name = Option::inBuilder;
  private Supplier<String> credentials;
  private byte[] rootCertificates;
  private boolean plaintext;
  private Duration timeout = Duration.ofSeconds(5);

  AuthorityBuilder(String address) {
    texts.put(Option.ADDRESS, address);
  }

  static AuthorityBuilder fromEnvironment(Map<String, String> variables) {
    var builder = new AuthorityBuilder("");
    builder.name = Option::inEnvironment;
    for (var option : Option.values()) {
      builder.texts.put(option, variables.getOrDefault(option.inEnvironment(), ""));
    }
    builder.plaintext = parseFlag(builder.text(Option.PLAINTEXT));
    builder.timeout = parseSeconds(builder.text(Option.TIMEOUT), builder.timeout);
    return builder;
  }

  /** Sets the API key. */
  public AuthorityBuilder apiKey(String key) {
    return with(Option.API_KEY, key);
  }

  /** Sets a file with the API key. It is read once. */
  public AuthorityBuilder apiKeyFile(Path file) {
    return with(Option.API_KEY_FILE, file);
  }

  /** Sets a file with a JWT or an API key, of at most 8192 bytes. It is read again for each call. */
  public AuthorityBuilder tokenFile(Path file) {
    return with(Option.TOKEN_FILE, file);
  }

  /** Sets what returns a JWT or an API key. It is called for each call, from any thread. */
  public AuthorityBuilder credentials(Supplier<String> supplier) {
    credentials = supplier;
    return this;
  }

  /** Sets a client certificate with its chain, and its key without a password, in PEM. They are read once. */
  public AuthorityBuilder clientCertificate(Path certificate, Path key) {
    return with(Option.CLIENT_CERT_FILE, certificate).with(Option.CLIENT_KEY_FILE, key);
  }

  /** Sets a file with the certificate authorities to trust, in PEM; default: those of Java. */
  public AuthorityBuilder caFile(Path file) {
    return with(Option.CA_FILE, file);
  }

  /** Sets the certificate authorities to trust, in PEM, in place of caFile. */
  public AuthorityBuilder rootCertificates(byte[] pem) {
    rootCertificates = pem.clone();
    return this;
  }

  /** Turns TLS off: everybody on the network path can then read the API key and the tokens. */
  public AuthorityBuilder plaintext() {
    plaintext = true;
    return this;
  }

  /** Sets the project of a call that names none. Required if the caller may use several projects. */
  public AuthorityBuilder projectId(String id) {
    return with(Option.PROJECT_ID, id);
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
    var transport = plaintext ? Transport.plaintext() : Transport.tls(texts, rootCertificates, name);
    var defaults = new CallDefaults(timeout, bearer);
    return new Authority(new Connection(text(Option.ADDRESS), transport, defaults), text(Option.PROJECT_ID));
  }

  @Override
  public String toString() {
    return "AuthorityBuilder[address=" + text(Option.ADDRESS) + ", projectId=" + text(Option.PROJECT_ID) + "]";
  }

  private AuthorityBuilder with(Option option, Object value) {
    texts.put(option, value.toString());
    return this;
  }

  private String text(Option option) {
    return texts.getOrDefault(option, "");
  }

  private void check() {
    var address = text(Option.ADDRESS);
    require(!address.isEmpty(), "%s is not set", Option.ADDRESS);
    // Any other URI than these of gRPC, such as that of a web page, is a mistake.
    require(
        address.contains(":") && (!address.contains("://") || TARGET.matcher(address).lookingAt()),
        "%s must be HOST:PORT, such as localhost:50051",
        Option.ADDRESS);
    require(timeout.toNanos() > 0, "%s must be a number of seconds above 0", Option.TIMEOUT);
    requireOneOf(Option.CA_FILE, Option.ROOT_CERTIFICATES);
    requireOneOf(Option.API_KEY, Option.API_KEY_FILE, Option.TOKEN_FILE, Option.CREDENTIALS);
    for (var option : List.of(Option.CA_FILE, Option.ROOT_CERTIFICATES, Option.CLIENT_CERT_FILE, Option.CLIENT_KEY_FILE)) {
      require(!plaintext || !isSet(option), "%s does not go with %s: it is for TLS", Option.PLAINTEXT, option);
    }
    require(
        isSet(Option.CLIENT_CERT_FILE) == isSet(Option.CLIENT_KEY_FILE),
        "%s and %s go together: set both or neither",
        Option.CLIENT_CERT_FILE,
        Option.CLIENT_KEY_FILE);
    var proofs =
        Stream.of(Option.API_KEY, Option.API_KEY_FILE, Option.TOKEN_FILE, Option.CREDENTIALS, Option.CLIENT_CERT_FILE);
    require(
        proofs.anyMatch(this::isSet),
        "no credentials: set %s, %s or %s, or %s with %s",
        Option.API_KEY,
        Option.API_KEY_FILE,
        Option.TOKEN_FILE,
        Option.CLIENT_CERT_FILE,
        Option.CLIENT_KEY_FILE);
    require(
        !isSet(Option.API_KEY) || Credentials.isHeaderSafe(text(Option.API_KEY)),
        "%s must be " + Credentials.HEADER_SAFE,
        Option.API_KEY);
  }

  private boolean isSet(Option option) {
    return switch (option) {
      case CREDENTIALS -> credentials != null;
      case ROOT_CERTIFICATES -> rootCertificates != null;
      default -> !text(option).isEmpty();
    };
  }

  private void requireOneOf(Option... options) {
    var given = Stream.of(options).filter(this::isSet).map(name).toList();
    if (given.size() > 1) {
      throw new IllegalArgumentException(String.join(" and ", given) + " are set: set only one of them");
    }
  }

  private void require(boolean holds, String message, Option... named) {
    if (!holds) {
      throw new IllegalArgumentException(message.formatted((Object[]) Stream.of(named).map(name).toArray(String[]::new)));
    }
  }

  /** Returns what gives each call its credential; null for none. */
  private Supplier<String> bearer() {
    if (isSet(Option.API_KEY_FILE)) {
      var key = Credentials.read(name.apply(Option.API_KEY_FILE), text(Option.API_KEY_FILE), Credentials.MAX_FILE);
      return () -> key;
    }
    if (isSet(Option.TOKEN_FILE)) {
      return () -> Credentials.read(name.apply(Option.TOKEN_FILE), text(Option.TOKEN_FILE), Credentials.MAX_CREDENTIAL);
    }
    if (credentials != null) {
      return () -> Credentials.requireUsable(name.apply(Option.CREDENTIALS), credentials.get());
    }
    return isSet(Option.API_KEY) ? () -> text(Option.API_KEY) : null;
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
