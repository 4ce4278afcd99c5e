package io.github.tokenauthority.client;

import java.time.Duration;
import java.util.concurrent.ThreadLocalRandom;

/**
 * How long a watch waits.
 *
 * @param silence for the next message. Heartbeats come every minute or more often
 * @param first before the second attempt, at most; doubled with each further one
 * @param longest between two attempts, at most, beside what the authority asks for
 */
record WatchTimes(Duration silence, Duration first, Duration longest) {
  static final WatchTimes USUAL = new WatchTimes(Duration.ofSeconds(90), Duration.ofMillis(250), Duration.ofSeconds(10));

  private static final Duration LONGEST_ASKED = Duration.ofMinutes(1);

  /** Returns how long to wait after an error, and so many attempts before. */
  Duration pause(int attempts, AuthorityException error) {
    var longest = Math.min(longest().toNanos(), first().toNanos() << Math.min(attempts, 16));
    var asked = error.retryAfter().map(Duration::toNanos).orElse(0L);
    // On top of what the authority asks for: it asks all watchers for the same.
    return Duration.ofNanos(Math.min(asked, LONGEST_ASKED.toNanos()) + ThreadLocalRandom.current().nextLong(longest + 1));
  }
}
