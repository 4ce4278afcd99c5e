package io.github.tokenauthority.client;

import io.github.tokenauthority.v1.TokenFormat;
import java.time.Instant;

/**
 * A new token. {@link #toString} does not show it.
 *
 * @param token a secret of the person it is for: never log it
 * @param tokenId names the token in the audit log and for {@link RevokeOptions#tokenId}
 * @param sessionId the session that it joins
 * @param projectId the project of that session
 * @param role the role's name
 * @param format never UNSPECIFIED
 * @param keyId which key signed it
 * @param issueTime when it was made, to the second
 * @param expireTime when it expires, to the second
 */
public record Token(
    String token,
    String tokenId,
    String sessionId,
    String projectId,
    String role,
    TokenFormat format,
    String keyId,
    Instant issueTime,
    Instant expireTime) {

  static Token of(io.github.tokenauthority.v1.Token message) {
    return new Token(
        message.getToken(),
        message.getTokenId(),
        message.getSessionId(),
        message.getProjectId(),
        message.getRole(),
        message.getFormat(),
        message.getKeyId(),
        Instant.ofEpochSecond(message.getIssueTime().getSeconds()),
        Instant.ofEpochSecond(message.getExpireTime().getSeconds()));
  }

  @Override
  public String toString() {
    return "Token[tokenId=" + tokenId + ", sessionId=" + sessionId + ", role=" + role + "]";
  }
}
