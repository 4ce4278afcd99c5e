package io.github.tokenauthority.client;

import com.google.protobuf.Timestamp;
import io.github.tokenauthority.v1.TokenFormat;
import io.github.tokenauthority.v1.TokenRequest;
import java.time.Duration;
import java.time.Instant;
import java.util.List;

/** The options of a token; an option that is left out has the authority's default. */
public final class TokenOptions {
  /** No option. */
  public static final TokenOptions DEFAULT = builder().build();

  private final TokenRequest request;

  private TokenOptions(TokenRequest request) {
    this.request = request;
  }

  /** Returns a builder without an option. */
  public static Builder builder() {
    return new Builder();
  }

  /** Returns the request for one token of a batch. */
  public TokenRequest forSession(String sessionId) {
    return request.toBuilder().setSessionId(sessionId).build();
  }

  /** Collects options. */
  public static final class Builder {
    private final TokenRequest.Builder request = TokenRequest.newBuilder();

    private Builder() {}

    /** Sets the role: publisher (default), subscriber, publisheronly, moderator or one of the project's own. */
    public Builder role(String role) {
      request.setRole(role);
      return this;
    }

    /** Sets connection data of at most 1000 characters. Everyone in the session can read it. */
    public Builder data(String data) {
      request.setData(data);
      return this;
    }

    /**
     * Sets how long the token lives: 1 second to 30 days. A fraction of a second is cut off.
     *
     * @throws IllegalStateException if a lifetime is set
     */
    public Builder ttl(Duration ttl) {
      requireNoLifetime();
      request.getTtlBuilder().setSeconds(ttl.getSeconds()).setNanos(ttl.getNano());
      return this;
    }

    /**
     * Sets when the token expires, within 30 days. A fraction of a second is cut off.
     *
     * @throws IllegalStateException if a lifetime is set
     */
    public Builder expireTime(Instant at) {
      requireNoLifetime();
      request.setExpireTime(timestamp(at));
      return this;
    }

    /** Sets the format; default: the project's. */
    public Builder format(TokenFormat format) {
      request.setFormat(format);
      return this;
    }

    /** Sets the end user's id, by which tokens can be revoked. At most 255 characters. Not for OpenTok and Vonage. */
    public Builder subject(String subject) {
      request.setSubject(subject);
      return this;
    }

    /** Sets the layout classes that the person's streams start with. */
    public Builder initialLayoutClassList(List<String> classes) {
      request.clearInitialLayoutClassList().addAllInitialLayoutClassList(classes);
      return this;
    }

    /** Returns the options. */
    public TokenOptions build() {
      return new TokenOptions(request.build());
    }

    private void requireNoLifetime() {
      if (request.getLifetimeCase() != TokenRequest.LifetimeCase.LIFETIME_NOT_SET) {
        throw new IllegalStateException("set ttl or expireTime, not both");
      }
    }
  }

  static Timestamp timestamp(Instant at) {
    return Timestamp.newBuilder().setSeconds(at.getEpochSecond()).setNanos(at.getNano()).build();
  }
}
