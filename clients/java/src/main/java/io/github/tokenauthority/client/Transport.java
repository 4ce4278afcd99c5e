package io.github.tokenauthority.client;

import io.grpc.ChannelCredentials;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.TlsChannelCredentials;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.function.Function;
import java.util.function.Predicate;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** Makes gRPC's channel credentials of files. */
final class Transport {
  private Transport() {}

  static ChannelCredentials plaintext() {
    return InsecureChannelCredentials.create();
  }

  /**
   * Reads the files of the options, each of which may be absent.
   *
   * @param roots the certificate authorities, in PEM, in place of their file; or null
   */
  static ChannelCredentials tls(Map<Option, String> files, byte[] roots, Function<Option, String> name) {
    var tls = TlsChannelCredentials.newBuilder();
    Function<Option, InputStream> read =
        option -> new ByteArrayInputStream(Credentials.readFile(name.apply(option), files.get(option), Credentials.MAX_FILE));
    Predicate<Option> isSet = option -> !files.getOrDefault(option, "").isEmpty();
    try {
      if (roots != null || isSet.test(Option.CA_FILE)) {
        var trusted = roots != null ? roots : read.apply(Option.CA_FILE).readAllBytes();
        if (!new String(trusted, StandardCharsets.ISO_8859_1).contains("-----BEGIN CERTIFICATE-----")) {
          var named = roots != null ? name.apply(Option.ROOT_CERTIFICATES) : name.apply(Option.CA_FILE) + " " + files.get(Option.CA_FILE);
          throw new IllegalArgumentException(named + ": holds no certificate in PEM");
        }
        tls.trustManager(new ByteArrayInputStream(trusted));
      }
      if (isSet.test(Option.CLIENT_CERT_FILE)) {
        tls.keyManager(read.apply(Option.CLIENT_CERT_FILE), read.apply(Option.CLIENT_KEY_FILE));
      }
    } catch (IOException impossible) {
      throw new IllegalStateException(impossible);
    }
    var credentials = tls.build();
    try {
      // Reads the certificates, and does nothing else.
      Grpc.newChannelBuilder("localhost:1", credentials);
    } catch (IllegalArgumentException invalid) {
      var named = Stream.of(Option.CA_FILE, Option.CLIENT_CERT_FILE, Option.CLIENT_KEY_FILE).map(name);
      var all = named.collect(Collectors.joining(", "));
      throw new IllegalArgumentException(all + ": one is no PEM of its kind: " + invalid.getMessage(), invalid);
    }
    return credentials;
  }
}
