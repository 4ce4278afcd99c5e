import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import io.github.tokenauthority.client.Authority;
import io.github.tokenauthority.client.AuthorityException;
import io.github.tokenauthority.client.ListOptions;
import io.github.tokenauthority.client.RevokeOptions;
import io.github.tokenauthority.client.RevokeTarget;
import io.github.tokenauthority.client.SessionOptions;
import io.github.tokenauthority.client.TokenOptions;
import io.github.tokenauthority.client.TurnOptions;
import io.github.tokenauthority.client.VerifyOptions;
import io.github.tokenauthority.v1.ArchiveMode;
import io.github.tokenauthority.v1.KeyServiceGrpc;
import io.github.tokenauthority.v1.MediaMode;
import io.github.tokenauthority.v1.Permission;
import io.github.tokenauthority.v1.ProjectServiceGrpc;
import io.github.tokenauthority.v1.RoleServiceGrpc;
import io.github.tokenauthority.v1.SessionServiceGrpc;
import io.github.tokenauthority.v1.SessionState;
import io.github.tokenauthority.v1.TokenFormat;
import io.github.tokenauthority.v1.TokenRequest;
import io.github.tokenauthority.v1.TokenServiceGrpc;
import io.grpc.CallOptions;
import io.grpc.MethodDescriptor;
import io.grpc.stub.ClientCalls;
import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Collections;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import java.util.concurrent.Executors;
import java.util.stream.Stream;

/** The program of `make interop`: it reads one JSON request a line, makes the call, and writes one JSON answer a line. */
final class Driver {
  private final Authority authority;
  private Watched watched;

  private Driver(Authority authority) {
    this.authority = authority;
  }

  public static void main(String[] arguments) throws IOException {
    Driver driver = null;
    JsonObject unusable = null;
    try {
      driver = new Driver(Authority.fromEnvironment());
    } catch (IllegalArgumentException failure) {
      unusable = error(failure);
    }
    var input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    var output = new PrintStream(System.out, true, StandardCharsets.UTF_8);
    for (var line = input.readLine(); line != null; line = input.readLine()) {
      output.println(unusable != null ? unusable : driver.reply(JsonParser.parseString(line).getAsJsonObject()));
    }
    System.exit(0);
  }

  private JsonObject reply(JsonObject request) {
    try {
      var reply = new JsonObject();
      reply.add("ok", answer(request));
      return reply;
    } catch (AuthorityException | IllegalArgumentException | IllegalStateException failure) {
      return error(failure);
    } catch (Exception failure) {
      throw new IllegalStateException(failure);
    }
  }

  private JsonObject answer(JsonObject request) throws Exception {
    var ok = new JsonObject();
    switch (request.get("op").getAsString()) {
      case "call" -> ok.addProperty("response", call(request));
      case "create_session" -> {
        var session = authority.createSession(sessionOptions(request.getAsJsonObject("options")));
        ok.addProperty("session_id", session.sessionId());
      }
      case "generate_token" -> {
        var sessionId = text(request, "session_id");
        var options = tokenOptions(request.getAsJsonObject("options"));
        var token =
            "session".equals(text(request, "via"))
                ? authority.getSession(sessionId).generateToken(options)
                : authority.generateToken(sessionId, options);
        ok.addProperty("token", token.token());
        ok.addProperty("token_id", token.tokenId());
        ok.addProperty("expire_time", token.expireTime().getEpochSecond());
      }
      case "generate_tokens" -> {
        var requests = new ArrayList<TokenRequest>();
        for (var each : request.getAsJsonArray("requests")) {
          var wanted = each.getAsJsonObject();
          requests.add(tokenOptions(wanted).forSession(text(wanted, "session_id")));
        }
        ok.add("tokens", array(authority.generateTokens(requests).stream().map(token -> token.token()).toList()));
      }
      case "create_turn_credentials" -> createTurnCredentials(request, ok);
      case "verify_token" -> verify(request, ok);
      case "revoke_tokens" -> {
        var options = RevokeOptions.builder().comment(text(request, "comment")).build();
        if ("session".equals(text(request, "via"))) {
          authority.getSession(text(request, "session_id")).revokeTokens(options);
        } else {
          authority.revokeTokens(target(request), options);
        }
      }
      case "list_sessions" -> ok.add("session_ids", array(list(request)));
      case "end_session" -> {
        var state = authority.endSession(text(request, "session_id")).details().getState();
        ok.addProperty("state", state.name().replace("SESSION_STATE_", "").toLowerCase(Locale.ROOT));
      }
      case "watch" -> {
        if (watched != null) {
          watched.close();
        }
        watched = new Watched(authority, text(request, "resume_token"));
      }
      case "watched" -> ok = watched.await(request, watched::find);
      case "lost" -> ok = watched.await(request, watched::lost);
      case "load" -> load(request, ok);
      default -> throw new IllegalArgumentException("unknown op " + request.get("op"));
    }
    return ok;
  }

  private String call(JsonObject request) throws IOException {
    var services =
        Stream.of(
            KeyServiceGrpc.getServiceDescriptor(),
            ProjectServiceGrpc.getServiceDescriptor(),
            RoleServiceGrpc.getServiceDescriptor(),
            SessionServiceGrpc.getServiceDescriptor(),
            TokenServiceGrpc.getServiceDescriptor());
    var method =
        services
            .flatMap(service -> service.getMethods().stream())
            .filter(each -> each.getFullMethodName().equals(text(request, "method")))
            .findFirst()
            .orElseThrow(() -> new IllegalArgumentException("unknown method"));
    return call(method, Base64.getDecoder().decode(text(request, "request")));
  }

  private <Q, A> String call(MethodDescriptor<Q, A> method, byte[] content) throws IOException {
    var message = method.parseRequest(new ByteArrayInputStream(content));
    A answer =
        AuthorityException.translate(
            () -> ClientCalls.blockingUnaryCall(authority.channel(), method, CallOptions.DEFAULT, message));
    return Base64.getEncoder().encodeToString(method.streamResponse(answer).readAllBytes());
  }

  private void createTurnCredentials(JsonObject request, JsonObject ok) {
    var sessionId = text(request, "session_id");
    var given = request.getAsJsonObject("options");
    var options = TurnOptions.builder().subject(text(given, "subject"));
    if (given.has("ttl")) {
      options.ttl(Duration.ofNanos((long) (given.get("ttl").getAsDouble() * 1e9)));
    }
    var made =
        "session".equals(text(request, "via"))
            ? authority.getSession(sessionId).createTurnCredentials(options.build())
            : authority.createTurnCredentials(sessionId, options.build());
    ok.add("urls", array(made.urls()));
    ok.addProperty("username", made.username());
    ok.addProperty("credential", made.credential());
    ok.addProperty("expire_time", made.expireTime().getEpochSecond());
    ok.addProperty("shown", made.toString());
  }

  private void verify(JsonObject request, JsonObject ok) {
    var permissions = new ArrayList<Permission>();
    if (request.has("required_permissions")) {
      request
          .getAsJsonArray("required_permissions")
          .forEach(name -> permissions.add(Permission.valueOf("PERMISSION_" + upper(name.getAsString()))));
    }
    var options =
        VerifyOptions.builder()
            .sessionId(text(request, "session_id"))
            .requiredPermissions(permissions.toArray(Permission[]::new));
    var verified = authority.verifyToken(text(request, "token"), options.build());
    ok.addProperty("active", verified.getActive());
    ok.addProperty("reason", verified.getReason().name().replaceAll("^INACTIVE_REASON_(UNSPECIFIED)?", ""));
    ok.addProperty("role", verified.getClaims().getRole());
    ok.addProperty("data", verified.getClaims().getData());
  }

  private List<String> list(JsonObject request) {
    var options = ListOptions.builder();
    if (request.has("state")) {
      options.state(SessionState.valueOf("SESSION_STATE_" + upper(text(request, "state"))));
    }
    if (request.has("page_size")) {
      options.pageSize(request.get("page_size").getAsInt());
    }
    return authority.listSessions(options.build()).map(session -> session.sessionId()).toList();
  }

  private void load(JsonObject request, JsonObject ok) throws Exception {
    var errors = new ArrayList<String>();
    var failed = 0;
    var callers = Executors.newFixedThreadPool(request.get("callers").getAsInt());
    var calls = request.get("callers").getAsInt() * request.get("calls").getAsInt();
    try {
      var ends = callers.invokeAll(Collections.<Callable<String>>nCopies(calls, () -> end(text(request, "session_id"))));
      for (var end : ends) {
        var error = end.get();
        if (!error.isEmpty()) {
          failed++;
          errors.add(error);
        }
      }
    } finally {
      callers.shutdown();
    }
    ok.addProperty("failed", failed);
    ok.add("errors", array(errors.subList(0, Math.min(errors.size(), 5))));
  }

  private String end(String sessionId) {
    try {
      authority.generateToken(sessionId, TokenOptions.DEFAULT);
      return "";
    } catch (AuthorityException failure) {
      return failure.code() + ": " + failure.getMessage();
    }
  }

  private static RevokeTarget target(JsonObject request) {
    if (request.has("token")) {
      return RevokeTarget.token(text(request, "token"));
    }
    if (request.has("token_id")) {
      return RevokeTarget.tokenId(text(request, "token_id"));
    }
    return request.has("session_id")
        ? RevokeTarget.sessionId(text(request, "session_id"))
        : RevokeTarget.subject(text(request, "subject"));
  }

  private static SessionOptions sessionOptions(JsonObject options) {
    var builder = SessionOptions.builder();
    for (var name : options.keySet()) {
      var value = options.get(name);
      switch (name) {
        case "media_mode" -> builder.mediaMode(MediaMode.valueOf("MEDIA_MODE_" + upper(value.getAsString())));
        case "archive_mode" -> builder.archiveMode(ArchiveMode.valueOf("ARCHIVE_MODE_" + upper(value.getAsString())));
        case "location" -> builder.location(value.getAsString());
        case "e2ee" -> builder.e2ee(value.getAsBoolean());
        case "archive_name" -> builder.archiveName(value.getAsString());
        case "archive_resolution" -> builder.archiveResolution(value.getAsString());
        case "name" -> builder.name(value.getAsString());
        default -> throw new IllegalArgumentException("unknown option " + name);
      }
    }
    return builder.build();
  }

  private static TokenOptions tokenOptions(JsonObject options) {
    var builder = TokenOptions.builder();
    for (var name : options.keySet()) {
      var value = options.get(name);
      switch (name) {
        case "session_id" -> { }
        case "role" -> builder.role(value.getAsString());
        case "data" -> builder.data(value.getAsString());
        case "ttl" -> builder.ttl(Duration.ofNanos((long) (value.getAsDouble() * 1e9)));
        case "expire_time" -> builder.expireTime(Instant.ofEpochSecond(value.getAsLong()));
        case "format" -> builder.format(TokenFormat.valueOf("TOKEN_FORMAT_" + upper(value.getAsString())));
        case "subject" -> builder.subject(value.getAsString());
        case "initial_layout_class_list" -> builder.initialLayoutClassList(
            value.getAsJsonArray().asList().stream().map(each -> each.getAsString()).toList());
        default -> throw new IllegalArgumentException("unknown option " + name);
      }
    }
    return builder.build();
  }

  private static JsonObject error(RuntimeException failure) {
    var error = new JsonObject();
    error.addProperty("code", "CLIENT");
    error.addProperty("message", failure.getMessage());
    if (failure instanceof AuthorityException refused) {
      error.addProperty("code", refused.code().name());
      error.addProperty("reason", refused.reason());
      error.addProperty("retry_after", refused.retryAfter().map(wait -> wait.toMillis() / 1e3).orElse(null));
      var violations = new JsonArray();
      for (var each : refused.violations()) {
        var violation = new JsonObject();
        violation.addProperty("field", each.field());
        violation.addProperty("problem", each.problem());
        violations.add(violation);
      }
      error.add("violations", violations);
    }
    var reply = new JsonObject();
    reply.add("error", error);
    return reply;
  }

  private static JsonArray array(List<String> texts) {
    var array = new JsonArray();
    texts.forEach(array::add);
    return array;
  }

  private static String text(JsonObject object, String name) {
    return object.has(name) ? object.get(name).getAsString() : "";
  }

  private static String upper(String name) {
    return name.toUpperCase(Locale.ROOT);
  }
}
