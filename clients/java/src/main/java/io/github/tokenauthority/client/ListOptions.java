package io.github.tokenauthority.client;

import io.github.tokenauthority.v1.ListSessionsRequest;
import io.github.tokenauthority.v1.SessionState;

/** Which sessions to list. */
public final class ListOptions {
  /** All sessions. */
  public static final ListOptions DEFAULT = builder().build();

  private final ListSessionsRequest request;

  private ListOptions(ListSessionsRequest request) {
    this.request = request;
  }

  /** Returns a builder without an option. */
  public static Builder builder() {
    return new Builder();
  }

  ListSessionsRequest request(String projectId, String pageToken) {
    return request.toBuilder().setProjectId(projectId).setPageToken(pageToken).build();
  }

  /** Collects options. */
  public static final class Builder {
    private final ListSessionsRequest.Builder request = ListSessionsRequest.newBuilder();

    private Builder() {}

    /** Limits it to active or to ended sessions. */
    public Builder state(SessionState state) {
      request.setState(state);
      return this;
    }

    /** Sets how many sessions one call fetches, at most 1000; default: 50. */
    public Builder pageSize(int size) {
      request.setPageSize(size);
      return this;
    }

    /** Returns the options. */
    public ListOptions build() {
      return new ListOptions(request.build());
    }
  }
}
