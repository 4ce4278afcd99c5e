package io.github.tokenauthority.client;

import io.github.tokenauthority.v1.CreateTurnCredentialsRequest;
import java.time.Duration;

/** The options of TURN credentials; an option that is left out has the authority's default. */
public final class TurnOptions {
  /** No option. */
  public static final TurnOptions DEFAULT = builder().build();

  private final CreateTurnCredentialsRequest request;

  private TurnOptions(CreateTurnCredentialsRequest request) {
    this.request = request;
  }

  /** Returns a builder without an option. */
  public static Builder builder() {
    return new Builder();
  }

  CreateTurnCredentialsRequest forSession(String sessionId) {
    return request.toBuilder().setSessionId(sessionId).build();
  }

  /** Collects options. */
  public static final class Builder {
    private final CreateTurnCredentialsRequest.Builder request = CreateTurnCredentialsRequest.newBuilder();

    private Builder() {}

    /** Sets the end user's id. At most 255 characters. TURN servers see a pseudonym in its place. */
    public Builder subject(String subject) {
      request.setSubject(subject);
      return this;
    }

    /** Sets how long the credentials are valid: 1 second to 1 hour. A fraction of a second is cut off. */
    public Builder ttl(Duration ttl) {
      request.getTtlBuilder().setSeconds(ttl.getSeconds()).setNanos(ttl.getNano());
      return this;
    }

    /** Returns the options. */
    public TurnOptions build() {
      return new TurnOptions(request.build());
    }
  }
}
