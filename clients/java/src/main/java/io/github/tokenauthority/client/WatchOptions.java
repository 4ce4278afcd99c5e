package io.github.tokenauthority.client;

import io.github.tokenauthority.v1.WatchRevocationsRequest;
import java.time.Duration;
import java.util.List;
import java.util.function.BiConsumer;

/** Where a watch begins, and what it sees. */
public final class WatchOptions {
  /** The client's project, else all of the caller, from the start. */
  public static final WatchOptions DEFAULT = builder().build();

  private final Builder given;

  private WatchOptions(Builder given) {
    this.given = given;
  }

  /** Returns a builder without an option. */
  public static Builder builder() {
    return new Builder();
  }

  WatchRevocationsRequest request(String projectId) {
    var own = projectId.isEmpty() ? List.<String>of() : List.of(projectId);
    return WatchRevocationsRequest.newBuilder()
        .setResumeToken(given.resumeToken)
        .addAllProjectIds(given.projectIds == null ? own : given.projectIds)
        .build();
  }

  BiConsumer<AuthorityException, Duration> onLost() {
    return given.onLost;
  }

  /** Collects options. */
  public static final class Builder {
    private List<String> projectIds;
    private String resumeToken = "";
    private BiConsumer<AuthorityException, Duration> onLost = (error, pause) -> {};

    private Builder() {}

    private Builder(Builder other) {
      projectIds = other.projectIds;
      resumeToken = other.resumeToken;
      onLost = other.onLost;
    }

    /** Sets the projects to watch, at most 1000; an empty list for all of the caller. Default: the client's, else all. */
    public Builder projectIds(List<String> ids) {
      projectIds = List.copyOf(ids);
      return this;
    }

    /** Sets the resume token of an earlier event, to go on after it; default: from the start. */
    public Builder resumeToken(String token) {
      resumeToken = token;
      return this;
    }

    /** Sets what is called when the stream breaks off, with the error and the time until the next attempt. */
    public Builder onLost(BiConsumer<AuthorityException, Duration> listener) {
      onLost = listener;
      return this;
    }

    /** Returns the options. */
    public WatchOptions build() {
      return new WatchOptions(new Builder(this));
    }
  }
}
