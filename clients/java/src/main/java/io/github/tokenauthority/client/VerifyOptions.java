package io.github.tokenauthority.client;

import io.github.tokenauthority.v1.Permission;
import io.github.tokenauthority.v1.VerifyTokenRequest;
import java.util.List;

/** What a token must be for, to be active. */
public final class VerifyOptions {
  /** Any session, any permission. */
  public static final VerifyOptions DEFAULT = builder().build();

  private final VerifyTokenRequest request;

  private VerifyOptions(VerifyTokenRequest request) {
    this.request = request;
  }

  /** Returns a builder without an option. */
  public static Builder builder() {
    return new Builder();
  }

  VerifyTokenRequest request(String token) {
    return request.toBuilder().setToken(token).build();
  }

  /** Collects options. */
  public static final class Builder {
    private final VerifyTokenRequest.Builder request = VerifyTokenRequest.newBuilder();

    private Builder() {}

    /** Sets the session that it must be for; default: any. */
    public Builder sessionId(String sessionId) {
      request.setSessionId(sessionId);
      return this;
    }

    /** Sets what it must allow. */
    public Builder requiredPermissions(Permission... permissions) {
      request.clearRequiredPermissions().addAllRequiredPermissions(List.of(permissions));
      return this;
    }

    /** Returns the options. */
    public VerifyOptions build() {
      return new VerifyOptions(request.build());
    }
  }
}
