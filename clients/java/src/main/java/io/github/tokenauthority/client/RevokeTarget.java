package io.github.tokenauthority.client;

import io.github.tokenauthority.v1.RevokeTokensRequest;

/** What to revoke. None is empty: an empty id or subject is an IllegalArgumentException. */
public final class RevokeTarget {
  private final RevokeTokensRequest request;

  private RevokeTarget(RevokeTokensRequest.Builder request) {
    this.request = request.build();
  }

  /** Returns this token. */
  public static RevokeTarget token(String token) {
    return new RevokeTarget(RevokeTokensRequest.newBuilder().setToken(notEmpty("token", token)));
  }

  /** Returns the token that has this id, in the project of the options. */
  public static RevokeTarget tokenId(String tokenId) {
    return new RevokeTarget(RevokeTokensRequest.newBuilder().setTokenId(notEmpty("tokenId", tokenId)));
  }

  /** Returns all tokens of this session, which stays open. */
  public static RevokeTarget sessionId(String sessionId) {
    return new RevokeTarget(RevokeTokensRequest.newBuilder().setSessionId(notEmpty("sessionId", sessionId)));
  }

  /** Returns all tokens of this end user, in the project of the options. */
  public static RevokeTarget subject(String subject) {
    return new RevokeTarget(RevokeTokensRequest.newBuilder().setSubject(notEmpty("subject", subject)));
  }

  /** Returns the request; {@code defaultProject} is that of a token id or subject whose options name none. */
  RevokeTokensRequest request(RevokeOptions options, String defaultProject) {
    var whole = request.toBuilder().mergeFrom(options.request());
    var needsProject = request.hasTokenId() || request.hasSubject();
    return needsProject && whole.getProjectId().isEmpty() ? whole.setProjectId(defaultProject).build() : whole.build();
  }

  private static String notEmpty(String name, String target) {
    if (target.isEmpty()) {
      throw new IllegalArgumentException(name + " must not be empty");
    }
    return target;
  }
}
