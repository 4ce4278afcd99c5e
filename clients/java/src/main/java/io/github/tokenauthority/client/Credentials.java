package io.github.tokenauthority.client;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;

/** Reads files and bearer credentials, each with a limit. Its errors do not quote them. */
final class Credentials {
  /** Bytes of a file that is read once. */
  static final int MAX_FILE = 1 << 20;

  /** Bytes of a bearer credential; the server reads no longer one. */
  static final int MAX_CREDENTIAL = 8192;

  /** What a bearer credential is, for errors. */
  static final String HEADER_SAFE = "1 to 8192 characters of printable ASCII without spaces";

  private Credentials() {}

  /** Returns whether a header carries it, and the server reads it. */
  static boolean isHeaderSafe(String credential) {
    return !credential.isEmpty() && credential.length() <= MAX_CREDENTIAL && credential.chars().allMatch(each -> each > ' ' && each <= '~');
  }

  static String read(String option, String file, int limit) {
    var credential = new String(readFile(option, file, limit), StandardCharsets.UTF_8).strip();
    if (!isHeaderSafe(credential)) {
      throw new IllegalArgumentException(option + ": the file must hold " + HEADER_SAFE);
    }
    return credential;
  }

  static String requireUsable(String option, String credential) {
    if (credential == null || !isHeaderSafe(credential)) {
      throw new IllegalArgumentException(option + " must return " + HEADER_SAFE);
    }
    return credential;
  }

  static byte[] readFile(String option, String file, int limit) {
    byte[] content;
    try {
      var path = Path.of(file);
      // Another kind of file could block, or have no end.
      if (Files.exists(path) && !Files.isRegularFile(path)) {
        throw new IllegalArgumentException(option + " " + file + ": is not a regular file");
      }
      try (var stream = Files.newInputStream(path)) {
        content = stream.readNBytes(limit + 1);
      }
    } catch (IOException | InvalidPathException unreadable) {
      throw new IllegalArgumentException(option + ": cannot be read: " + unreadable, unreadable);
    }
    if (content.length > limit) {
      throw new IllegalArgumentException(option + " " + file + ": the file has more than " + limit + " bytes");
    }
    return content;
  }
}
