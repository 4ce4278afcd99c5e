package io.github.tokenauthority.client;

import io.github.tokenauthority.v1.Revocation;
import io.github.tokenauthority.v1.TokenServiceGrpc.TokenServiceBlockingStub;
import io.github.tokenauthority.v1.WatchRevocationsRequest;
import io.github.tokenauthority.v1.WatchRevocationsResponse;
import io.grpc.Context;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.time.Duration;
import java.util.Iterator;
import java.util.NoSuchElementException;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.function.BiConsumer;

/**
 * What is in force (or what happened after a resume token), a SnapshotEnd, then each revocation and each end of a session
 * as it happens, and heartbeats.
 *
 * <p>A stream that breaks off is opened again after its last event. So no event is missed, but some may come twice. The
 * iteration ends when the watch is closed, which any thread may do. It throws an {@link AuthorityException} that another
 * attempt would not cure, such as one for an unknown event. One thread at a time may read.
 */
public final class RevocationWatch implements Iterator<WatchRevocationsResponse>, Iterable<WatchRevocationsResponse>, AutoCloseable {
  private final TokenServiceBlockingStub tokens;
  private final ScheduledExecutorService timer;
  private final WatchTimes times;
  private final BiConsumer<AuthorityException, Duration> onLost;
  private final CountDownLatch closed = new CountDownLatch(1);

  private WatchRevocationsRequest request;
  private WatchRevocationsResponse next;
  private Iterator<WatchRevocationsResponse> stream;
  private volatile Context.CancellableContext context = Context.current().withCancellation();
  private boolean caughtUp;
  private int attempts;

  RevocationWatch(
      TokenServiceBlockingStub tokens,
      WatchRevocationsRequest request,
      BiConsumer<AuthorityException, Duration> onLost,
      ScheduledExecutorService timer,
      WatchTimes times) {
    this.tokens = tokens;
    this.request = request;
    this.onLost = onLost;
    this.timer = timer;
    this.times = times;
  }

  /** Returns the same watch with other times, before anybody reads. */
  RevocationWatch with(WatchTimes others) {
    return new RevocationWatch(tokens, request, onLost, timer, others);
  }

  @Override
  public Iterator<WatchRevocationsResponse> iterator() {
    return this;
  }

  /** Waits for the next event; false once the watch is closed. */
  @Override
  public boolean hasNext() {
    while (next == null && closed.getCount() > 0) {
      try {
        next = read();
      } catch (AuthorityException lost) {
        context.cancel(null);
        stream = null;
        if (closed.getCount() > 0) {
          pause(lost);
        }
      }
    }
    return next != null;
  }

  /** Waits for the next event and returns it. Its resume token is where another watch may begin. */
  @Override
  public WatchRevocationsResponse next() {
    if (!hasNext()) {
      throw new NoSuchElementException("the watch is closed");
    }
    var event = next;
    next = null;
    request = request.toBuilder().setResumeToken(event.getResumeToken()).build();
    caughtUp = caughtUp || event.hasSnapshotEnd();
    // Not earlier: an authority that breaks off after what is in force must not be asked for it without a pause.
    if (caughtUp && event.hasHeartbeat()) {
      attempts = 0;
    }
    return event;
  }

  /** Ends the watch, also while another thread waits for an event. */
  @Override
  public void close() {
    closed.countDown();
    context.cancel(null);
  }

  private WatchRevocationsResponse read() {
    var silent = new AuthorityException(Status.Code.UNAVAILABLE, "no message for " + times.silence(), null);
    var silence = timer.schedule(() -> context.cancel(silent), times.silence().toNanos(), TimeUnit.NANOSECONDS);
    try {
      if (stream == null) {
        open();
      }
      if (!stream.hasNext()) {
        throw new AuthorityException(Status.Code.UNAVAILABLE, "the stream was closed", null);
      }
      var event = stream.next();
      if (!isKnown(event)) {
        throw new AuthorityException(
            Status.Code.UNIMPLEMENTED, "the authority sent an event that this version of the client does not know: update it", null);
      }
      return event;
    } catch (StatusRuntimeException failure) {
      throw context.cancellationCause() == silent ? silent : AuthorityException.of(failure);
    } finally {
      silence.cancel(false);
    }
  }

  private void open() {
    caughtUp = false;
    context = Context.current().withCancellation();
    var before = context.attach();
    try {
      if (closed.getCount() == 0) {
        context.cancel(null);
      }
      stream = tokens.watchRevocations(request);
    } finally {
      context.detach(before);
    }
  }

  private void pause(AuthorityException lost) {
    if (!isTemporary(lost) || Context.current().isCancelled()) {
      throw lost;
    }
    try {
      var pause = times.pause(attempts++, lost);
      onLost.accept(lost, pause);
      // Returns early once the watch is closed.
      closed.await(pause.toNanos(), TimeUnit.NANOSECONDS);
    } catch (InterruptedException interrupted) {
      Thread.currentThread().interrupt();
      throw lost;
    }
  }

  private static boolean isKnown(WatchRevocationsResponse event) {
    return switch (event.getEventCase()) {
      case REVOCATION -> event.getRevocation().getTargetCase() != Revocation.TargetCase.TARGET_NOT_SET;
      case SESSION_END, SNAPSHOT_END, HEARTBEAT -> true;
      case EVENT_NOT_SET -> false;
    };
  }

  private static boolean isTemporary(AuthorityException error) {
    return switch (error.code()) {
      case UNAVAILABLE, CANCELLED, RESOURCE_EXHAUSTED -> true;
      // Without a reason it comes from a proxy or the network.
      case INTERNAL, UNKNOWN -> error.reason().isEmpty();
      default -> false;
    };
  }
}
