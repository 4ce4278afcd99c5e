package io.github.tokenauthority.client;

import io.grpc.ChannelCredentials;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.TlsChannelCredentials;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.function.Function;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** Makes gRPC's channel credentials of files. */
final class Transport {
  private Transport() {}

  static ChannelCredentials plaintext() {
    return InsecureChannelCredentials.create();
  }

  static ChannelCredentials tls(String caFile, String certFile, String keyFile, Function<Option, String> name) {
    var tls = TlsChannelCredentials.newBuilder();
    try {
      if (!caFile.isEmpty()) {
        var roots = Credentials.readFile(name.apply(Option.CA_FILE), caFile, Credentials.MAX_FILE);
        if (!new String(roots, StandardCharsets.ISO_8859_1).contains("-----BEGIN CERTIFICATE-----")) {
          throw new IllegalArgumentException(name.apply(Option.CA_FILE) + " " + caFile + ": holds no certificate in PEM");
        }
        tls.trustManager(new ByteArrayInputStream(roots));
      }
      if (!certFile.isEmpty()) {
        var certificate = Credentials.readFile(name.apply(Option.CLIENT_CERT_FILE), certFile, Credentials.MAX_FILE);
        var key = Credentials.readFile(name.apply(Option.CLIENT_KEY_FILE), keyFile, Credentials.MAX_FILE);
        tls.keyManager(new ByteArrayInputStream(certificate), new ByteArrayInputStream(key));
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
      var files = named.collect(Collectors.joining(", "));
      throw new IllegalArgumentException(files + ": one is no PEM of its kind: " + invalid.getMessage(), invalid);
    }
    return credentials;
  }
}
