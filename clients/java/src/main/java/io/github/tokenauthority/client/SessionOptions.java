package io.github.tokenauthority.client;

import io.github.tokenauthority.v1.ArchiveMode;
import io.github.tokenauthority.v1.CreateSessionRequest;
import io.github.tokenauthority.v1.MediaMode;
import java.util.UUID;

/** The options of a session; an option that is left out has the authority's default. */
public final class SessionOptions {
  /** No option. */
  public static final SessionOptions DEFAULT = builder().build();

  private final CreateSessionRequest request;

  private SessionOptions(CreateSessionRequest request) {
    this.request = request;
  }

  /** Returns a builder without an option. */
  public static Builder builder() {
    return new Builder();
  }

  CreateSessionRequest request(String projectId) {
    // Without a request id, each attempt of the call would make a session.
    var id = request.getRequestId().isEmpty() ? UUID.randomUUID().toString() : request.getRequestId();
    return request.toBuilder().setProjectId(projectId).setRequestId(id).build();
  }

  /** Collects options. */
  public static final class Builder {
    private final CreateSessionRequest.Builder request = CreateSessionRequest.newBuilder();

    private Builder() {}

    /** Sets how media flows; default: MEDIA_MODE_RELAYED. */
    public Builder mediaMode(MediaMode mode) {
      request.setMediaMode(mode);
      return this;
    }

    /** Sets whether the session is recorded by itself. ARCHIVE_MODE_ALWAYS needs MEDIA_MODE_ROUTED. */
    public Builder archiveMode(ArchiveMode mode) {
      request.setArchiveMode(mode);
      return this;
    }

    /** Sets an IPv4 address: a hint where the first person connects from. */
    public Builder location(String address) {
      request.setLocation(address);
      return this;
    }

    /** Sets whether media is encrypted end to end. It needs MEDIA_MODE_ROUTED and ARCHIVE_MODE_MANUAL. */
    public Builder e2ee(boolean encrypted) {
      request.setE2Ee(encrypted);
      return this;
    }

    /** Sets the name of the archive, 1 to 80 characters. It needs ARCHIVE_MODE_ALWAYS. */
    public Builder archiveName(String name) {
      request.setArchiveName(name);
      return this;
    }

    /** Sets the resolution of the archive, such as 1280x720. It needs ARCHIVE_MODE_ALWAYS. */
    public Builder archiveResolution(String resolution) {
      request.setArchiveResolution(resolution);
      return this;
    }

    /** Sets the room on real-time servers, 1 to 64 of a-z, 0-9, - and _; default: the session id. */
    public Builder name(String name) {
      request.setName(name);
      return this;
    }

    /** Sets a UUID that makes the call safe to repeat for 24 hours; default: a fresh one. */
    public Builder requestId(String id) {
      request.setRequestId(id);
      return this;
    }

    /** Returns the options. */
    public SessionOptions build() {
      return new SessionOptions(request.build());
    }
  }
}
