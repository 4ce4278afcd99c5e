package io.github.tokenauthority.client;

import java.time.Instant;
import java.util.List;

/**
 * Credentials for TURN servers; the first three are those of an RTCIceServer. {@link #toString} does not show the password.
 *
 * @param urls the TURN servers, such as turn:turn.example.com:3478?transport=udp
 * @param username names the credentials in the audit log and at the TURN servers
 * @param credential the password, a secret of the person it is for: never log it
 * @param expireTime when they expire, to the second
 */
public record TurnCredentials(List<String> urls, String username, String credential, Instant expireTime) {

  static TurnCredentials of(io.github.tokenauthority.v1.TurnCredentials message) {
    return new TurnCredentials(
        List.copyOf(message.getUrlsList()),
        message.getUsername(),
        message.getCredential(),
        Instant.ofEpochSecond(message.getExpireTime().getSeconds()));
  }

  @Override
  public String toString() {
    return "TurnCredentials[username=" + username + "]";
  }
}
