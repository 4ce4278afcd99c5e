package io.github.tokenauthority.client;

import static io.github.tokenauthority.client.AuthorityException.translate;

import io.github.tokenauthority.v1.BatchGenerateTokensRequest;
import io.github.tokenauthority.v1.EndSessionRequest;
import io.github.tokenauthority.v1.GenerateTokenRequest;
import io.github.tokenauthority.v1.GetSessionRequest;
import io.github.tokenauthority.v1.KeyServiceGrpc;
import io.github.tokenauthority.v1.Permission;
import io.github.tokenauthority.v1.ProjectServiceGrpc;
import io.github.tokenauthority.v1.Revocation;
import io.github.tokenauthority.v1.RoleServiceGrpc;
import io.github.tokenauthority.v1.SessionServiceGrpc;
import io.github.tokenauthority.v1.TokenRequest;
import io.github.tokenauthority.v1.TokenServiceGrpc;
import io.github.tokenauthority.v1.VerifyTokenRequest;
import io.github.tokenauthority.v1.VerifyTokenResponse;
import io.github.tokenauthority.v1.WatchRevocationsRequest;
import io.grpc.Channel;
import java.util.List;
import java.util.Map;

/**
 * A client of one authority as one caller. Threads may share it: one is enough for a process.
 *
 * <p>Every call may throw an {@link AuthorityException}. A call that is safe to repeat is retried within its deadline.
 */
public final class Authority implements AutoCloseable {
  private final Connection connection;
  private final String projectId;
  private final SessionServiceGrpc.SessionServiceBlockingStub sessions;
  private final TokenServiceGrpc.TokenServiceBlockingStub tokens;

  Authority(Connection connection, String projectId) {
    this.connection = connection;
    this.projectId = projectId;
    this.sessions = SessionServiceGrpc.newBlockingStub(connection.channel());
    this.tokens = TokenServiceGrpc.newBlockingStub(connection.channel());
  }

  /**
   * Makes a client from the environment variables TOKENAUTHORITY_ADDRESS, TOKENAUTHORITY_API_KEY and so on: one for each
   * option of {@link AuthorityBuilder}, with the same meaning. An empty variable counts as not set.
   *
   * @throws IllegalArgumentException a required variable is missing, a value is invalid, or a file cannot be read. The
   *     message names the variable and does not hold the API key.
   */
  public static Authority fromEnvironment() {
    return fromEnvironment(System.getenv());
  }

  static Authority fromEnvironment(Map<String, String> variables) {
    return AuthorityBuilder.fromEnvironment(variables).build();
  }

  /**
   * Begins to make a client.
   *
   * @param address host:port, or a target of gRPC such as dns:///name:port
   */
  public static AuthorityBuilder builder(String address) {
    return new AuthorityBuilder(address);
  }

  /** Creates a session in the client's project. */
  public Session createSession(SessionOptions options) {
    var request = options.request(projectId);
    return session(translate(() -> sessions.createSession(request)).getSession());
  }

  /** Returns the session with this id. */
  public Session getSession(String sessionId) {
    var request = GetSessionRequest.newBuilder().setSessionId(sessionId).build();
    return session(translate(() -> sessions.getSession(request)).getSession());
  }

  /** Ends a session for good: it gets no more tokens, and its existing tokens become invalid. */
  public Session endSession(String sessionId) {
    var request = EndSessionRequest.newBuilder().setSessionId(sessionId).build();
    return session(translate(() -> sessions.endSession(request)).getSession());
  }

  /** Generates a token with which one person joins the session. */
  public Token generateToken(String sessionId, TokenOptions options) {
    var request = GenerateTokenRequest.newBuilder().setRequest(options.forSession(sessionId)).build();
    return Token.of(translate(() -> tokens.generateToken(request)).getToken());
  }

  /**
   * Generates 1 to 1000 tokens in one call, also of several sessions: all, or none.
   *
   * @param requests made by {@link TokenOptions#forSession}. A violation such as {@code requests[17].ttl} names one
   * @return the tokens in the order of the requests
   */
  public List<Token> generateTokens(List<TokenRequest> requests) {
    var request = BatchGenerateTokensRequest.newBuilder().addAllRequests(requests).build();
    return translate(() -> tokens.batchGenerateTokens(request)).getTokensList().stream().map(Token::of).toList();
  }

  /** Says whether a token is valid now. An invalid token is an answer with its reason, and no exception. */
  public VerifyTokenResponse verifyToken(String token) {
    return verifyToken(token, "", List.of());
  }

  /**
   * Says whether a token is valid now, for a session and for what it must allow.
   *
   * @param sessionId the session that it must be for; empty for any
   * @param requiredPermissions what it must allow
   */
  public VerifyTokenResponse verifyToken(String token, String sessionId, List<Permission> requiredPermissions) {
    var request =
        VerifyTokenRequest.newBuilder()
            .setToken(token)
            .setSessionId(sessionId)
            .addAllRequiredPermissions(requiredPermissions)
            .build();
    return translate(() -> tokens.verifyToken(request));
  }

  /** Revokes tokens. The revocation is durable when the call returns. To revoke twice is safe. */
  public Revocation revokeTokens(RevokeOptions options) {
    var request = options.request(projectId);
    return translate(() -> tokens.revokeTokens(request)).getRevocation();
  }

  /** Watches revocations and ended sessions of the client's project, else of all projects of the caller. */
  public RevocationWatch watchRevocations() {
    return watchRevocations("");
  }

  /**
   * Watches revocations and ended sessions, and goes on after an earlier event.
   *
   * @param resumeToken that of the earlier event; empty: from the start
   */
  public RevocationWatch watchRevocations(String resumeToken) {
    var request = WatchRevocationsRequest.newBuilder().setResumeToken(resumeToken);
    if (!projectId.isEmpty()) {
      request.addProjectIds(projectId);
    }
    return watchRevocations(request.build());
  }

  /** Watches other projects than the client's. */
  public RevocationWatch watchRevocations(WatchRevocationsRequest request) {
    return new RevocationWatch(tokens, request, connection.timer(), WatchTimes.USUAL);
  }

  /** Returns the stub of sessions. Call stubs within {@link AuthorityException#translate}. */
  public SessionServiceGrpc.SessionServiceBlockingStub sessions() {
    return sessions;
  }

  /** Returns the stub of tokens. */
  public TokenServiceGrpc.TokenServiceBlockingStub tokens() {
    return tokens;
  }

  /** Returns the stub of roles. */
  public RoleServiceGrpc.RoleServiceBlockingStub roles() {
    return RoleServiceGrpc.newBlockingStub(channel());
  }

  /** Returns the stub of projects. */
  public ProjectServiceGrpc.ProjectServiceBlockingStub projects() {
    return ProjectServiceGrpc.newBlockingStub(channel());
  }

  /** Returns the stub of signing keys. */
  public KeyServiceGrpc.KeyServiceBlockingStub keys() {
    return KeyServiceGrpc.newBlockingStub(channel());
  }

  /** Returns the channel with the client's credentials, deadline and retries, for stubs of other kinds. */
  public Channel channel() {
    return connection.channel();
  }

  /** Closes the connection, and cancels the calls that still run. */
  @Override
  public void close() {
    connection.close();
  }

  private Session session(io.github.tokenauthority.v1.Session details) {
    return new Session(details, this);
  }
}
