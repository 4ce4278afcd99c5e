package io.github.tokenauthority.client;

import io.github.tokenauthority.v1.RevokeTokensRequest;
import java.time.Instant;

/** Which tokens to revoke. A builder begins with its one target, so that there is always one. */
public final class RevokeOptions {
  private final RevokeTokensRequest request;

  private RevokeOptions(RevokeTokensRequest request) {
    this.request = request;
  }

  /** Begins with this token. */
  public static Builder token(String token) {
    return new Builder(RevokeTokensRequest.newBuilder().setToken(token));
  }

  /** Begins with the token that has this id. */
  public static Builder tokenId(String tokenId) {
    return new Builder(RevokeTokensRequest.newBuilder().setTokenId(tokenId));
  }

  /** Begins with all tokens of this session, which stays open. */
  public static Builder sessionId(String sessionId) {
    return new Builder(RevokeTokensRequest.newBuilder().setSessionId(sessionId));
  }

  /** Begins with all tokens of this end user. */
  public static Builder subject(String subject) {
    return new Builder(RevokeTokensRequest.newBuilder().setSubject(subject));
  }

  RevokeTokensRequest request(String projectId) {
    var needsProject = request.hasTokenId() || request.hasSubject();
    return needsProject && request.getProjectId().isEmpty() ? request.toBuilder().setProjectId(projectId).build() : request;
  }

  /** Collects what goes with the target. */
  public static final class Builder {
    private final RevokeTokensRequest.Builder request;

    private Builder(RevokeTokensRequest.Builder request) {
      this.request = request;
    }

    /** Sets the project of a token id or subject; default: the client's. */
    public Builder projectId(String projectId) {
      request.setProjectId(projectId);
      return this;
    }

    /** Limits it to tokens that were issued in this second or earlier; default: now. */
    public Builder issuedBefore(Instant at) {
      request.setIssuedBefore(TokenOptions.timestamp(at));
      return this;
    }

    /** Sets a text for the audit log and for watchers, of at most 256 characters. */
    public Builder comment(String comment) {
      request.setComment(comment);
      return this;
    }

    /** Returns the options. */
    public RevokeOptions build() {
      return new RevokeOptions(request.build());
    }
  }
}
