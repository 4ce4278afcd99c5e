// Does with the official Java SDK what each line of standard input asks for; README.md has the protocol.

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.opentok.ArchiveMode;
import com.opentok.MediaMode;
import com.opentok.MuteAllProperties;
import com.opentok.OpenTok;
import com.opentok.Role;
import com.opentok.SessionProperties;
import com.opentok.SignalProperties;
import com.opentok.TokenOptions;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;

class Driver {
  private static final ObjectMapper JSON = new ObjectMapper();

  private final OpenTok client =
      new OpenTok.Builder(
              Integer.parseInt(System.getenv("OPENTOK_API_KEY")), System.getenv("OPENTOK_API_SECRET"))
          .apiUrl(System.getenv("OPENTOK_API_URL"))
          .build();

  public static void main(String[] arguments) throws Exception {
    var driver = new Driver();
    var input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    var output = new PrintStream(System.out, true, StandardCharsets.UTF_8);
    for (String line; (line = input.readLine()) != null; ) {
      output.println(JSON.writeValueAsString(driver.answer(JSON.readTree(line))));
    }
    driver.client.close();
  }

  private Map<String, Object> answer(JsonNode request) {
    try {
      return Map.of("ok", done(request));
    } catch (Exception error) {
      var told = Map.of("code", error.getClass().getSimpleName(), "message", String.valueOf(error.getMessage()));
      return Map.of("error", told);
    }
  }

  private Map<String, Object> done(JsonNode request) throws Exception {
    String sessionId = request.path("session_id").asText();
    switch (request.path("op").asText()) {
      case "create":
        return Map.of("session_id", client.createSession(properties(request.get("options"))).getSessionId());
      case "token":
        return Map.of("token", client.generateToken(sessionId, options(request.get("options"))));
      default:
        call(request.path("what").asText(), sessionId);
        return Map.of();
    }
  }

  private void call(String what, String sessionId) throws Exception {
    switch (what) {
      case "signal" -> client.signal(sessionId, new SignalProperties.Builder().type("chat").data("hi").build());
      case "disconnect" -> client.forceDisconnect(sessionId, "connection");
      case "mute" -> client.forceMuteStream(sessionId, "stream");
      case "mute_all" -> client.forceMuteAll(sessionId, new MuteAllProperties.Builder().build());
      case "archive" -> client.startArchive(sessionId);
      default -> throw new IllegalArgumentException(what);
    }
  }

  private static SessionProperties properties(JsonNode given) throws Exception {
    var builder = new SessionProperties.Builder();
    if (given.has("media_mode")) {
      builder.mediaMode(MediaMode.valueOf(upper(given.get("media_mode"))));
    }
    if (given.has("archive_mode")) {
      builder.archiveMode(ArchiveMode.valueOf(upper(given.get("archive_mode"))));
    }
    if (given.has("location")) {
      builder.location(given.get("location").asText());
    }
    return builder.build();
  }

  private static TokenOptions options(JsonNode given) throws Exception {
    var builder = new TokenOptions.Builder();
    List<String> classes = new ArrayList<>();
    given.path("initial_layout_class_list").forEach(each -> classes.add(each.asText()));
    builder.role(Role.valueOf(upper(given.get("role"))));
    if (given.has("data")) {
      builder.data(given.get("data").asText());
    }
    if (given.has("expire_time")) {
      builder.expireTime(given.get("expire_time").asLong());
    }
    return builder.initialLayoutClassList(classes).build();
  }

  private static String upper(JsonNode text) {
    return text.asText().toUpperCase(Locale.ROOT);
  }
}
