package io.github.tokenauthority.client;

/** An option of a client's connection, by its name in the builder. The environment has another name for each option. */
enum Option {
  ADDRESS("address"),
  API_KEY("apiKey"),
  API_KEY_FILE("apiKeyFile"),
  TOKEN_FILE("tokenFile"),
  CREDENTIALS("credentials"),
  CLIENT_CERT_FILE("clientCertificate"),
  CLIENT_KEY_FILE("clientCertificate"),
  CA_FILE("caFile"),
  ROOT_CERTIFICATES("rootCertificates"),
  PLAINTEXT("plaintext"),
  PROJECT_ID("projectId"),
  TIMEOUT("timeout");

  private final String inBuilder;

  Option(String inBuilder) {
    this.inBuilder = inBuilder;
  }

  String inBuilder() {
    return inBuilder;
  }

  String inEnvironment() {
    return "TOKENAUTHORITY_" + name();
  }
}
