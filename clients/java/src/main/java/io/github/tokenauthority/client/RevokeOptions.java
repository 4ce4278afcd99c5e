package io.github.tokenauthority.client;

import io.github.tokenauthority.v1.RevokeTokensRequest;
import java.time.Instant;

/** What goes with a revocation. */
public final class RevokeOptions {
  /** No option. */
  public static final RevokeOptions DEFAULT = builder().build();

  private final RevokeTokensRequest request;

  private RevokeOptions(RevokeTokensRequest request) {
    this.request = request;
  }

  /** Returns a builder without an option. */
  public static Builder builder() {
    return new Builder();
  }

  RevokeTokensRequest request() {
    return request;
  }

  /** Collects options. */
  public static final class Builder {
    private final RevokeTokensRequest.Builder request = RevokeTokensRequest.newBuilder();

    private Builder() {}

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
