import com.google.gson.JsonObject;
import io.github.tokenauthority.client.Authority;
import io.github.tokenauthority.client.AuthorityException;
import io.github.tokenauthority.client.RevocationWatch;
import io.github.tokenauthority.client.WatchOptions;
import io.github.tokenauthority.v1.WatchRevocationsResponse;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.function.UnaryOperator;

/** A watch in the background, which can be asked what it has seen. */
final class Watched implements AutoCloseable {
  private final RevocationWatch watch;
  private final List<WatchRevocationsResponse> events = new ArrayList<>();
  private final List<JsonObject> losses = new ArrayList<>();
  private AuthorityException failure;

  Watched(Authority authority, String resumeToken) {
    watch = authority.watchRevocations(WatchOptions.builder().resumeToken(resumeToken).onLost(this::note).build());
    var reader = new Thread(this::read, "watched");
    reader.setDaemon(true);
    reader.start();
  }

  @Override
  public void close() {
    watch.close();
  }

  /** Waits until one of the watch's events or losses is what a request asks for; find returns null for none. */
  synchronized JsonObject await(JsonObject request, UnaryOperator<JsonObject> find) throws InterruptedException {
    var until = System.nanoTime() + (long) (request.get("within").getAsDouble() * 1e9);
    while (true) {
      var found = find.apply(request);
      if (found != null) {
        return found;
      }
      if (failure != null) {
        throw failure;
      }
      var left = until - System.nanoTime();
      if (left <= 0) {
        throw new IllegalStateException("no such event");
      }
      TimeUnit.NANOSECONDS.timedWait(this, left);
    }
  }

  JsonObject find(JsonObject request) {
    for (var event : events) {
      var kind = kind(event, request);
      if (!kind.isEmpty()) {
        var ok = new JsonObject();
        ok.addProperty("kind", kind);
        ok.addProperty("resume_token", event.getResumeToken());
        return ok;
      }
    }
    return null;
  }

  JsonObject lost(JsonObject request) {
    return losses.isEmpty() ? null : losses.get(0);
  }

  private synchronized void note(AuthorityException error, Duration pause) {
    var loss = new JsonObject();
    loss.addProperty("code", error.code().name());
    loss.addProperty("pause", pause.toNanos() / 1e9);
    losses.add(loss);
    notifyAll();
  }

  private void read() {
    try {
      for (var event : watch) {
        synchronized (this) {
          events.add(event);
          notifyAll();
        }
      }
    } catch (AuthorityException ended) {
      synchronized (this) {
        failure = ended;
        notifyAll();
      }
    }
  }

  /** Returns an empty text for an event that was not asked for. */
  private static String kind(WatchRevocationsResponse event, JsonObject request) {
    var revocation = event.getRevocation();
    if (asked(request, "token_id", revocation.getTokenId())
        || asked(request, "session_id", revocation.getSessionId())
        || asked(request, "subject", revocation.getSubject())) {
      return "revocation";
    }
    return asked(request, "session_id", event.getSessionEnd().getSessionId()) ? "ended_session" : "";
  }

  private static boolean asked(JsonObject request, String name, String value) {
    return !value.isEmpty() && request.has(name) && request.get(name).getAsString().equals(value);
  }
}
