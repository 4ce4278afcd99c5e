package io.github.tokenauthority.client;

import static io.github.tokenauthority.client.AuthorityException.translate;

import io.github.tokenauthority.v1.BatchGenerateTokensRequest;
import io.github.tokenauthority.v1.EndSessionRequest;
import io.github.tokenauthority.v1.GenerateTokenRequest;
import io.github.tokenauthority.v1.GetSessionRequest;
import io.github.tokenauthority.v1.KeyServiceGrpc;
import io.github.tokenauthority.v1.ListSessionsResponse;
import io.github.tokenauthority.v1.ProjectServiceGrpc;
import io.github.tokenauthority.v1.Revocation;
import io.github.tokenauthority.v1.RoleServiceGrpc;
import io.github.tokenauthority.v1.SessionServiceGrpc;
import io.github.tokenauthority.v1.TokenRequest;
import io.github.tokenauthority.v1.TokenServiceGrpc;
import io.github.tokenauthority.v1.VerifyTokenResponse;
import io.grpc.Channel;
import io.grpc.Status;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.stream.Stream;

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

  /** Returns the sessions of the client's project, newest first; fetches page after page. */
  public Stream<Session> listSessions(ListOptions options) {
    return Stream.iterate(page(options, ""), Objects::nonNull, before -> pageAfter(before, options))
        .flatMap(page -> page.getSessionsList().stream())
        .map(this::session);
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

  /** Creates a user name and a password with which one person's client uses the authority's TURN servers. */
  public TurnCredentials createTurnCredentials(String sessionId, TurnOptions options) {
    var request = options.forSession(sessionId);
    return TurnCredentials.of(translate(() -> tokens.createTurnCredentials(request)).getCredentials());
  }

  /** Says whether a token is valid now. An invalid token is an answer with its reason, and no exception. */
  public VerifyTokenResponse verifyToken(String token, VerifyOptions options) {
    return translate(() -> tokens.verifyToken(options.request(token)));
  }

  /** Revokes tokens. The revocation is durable when the call returns. To revoke twice is safe. */
  public Revocation revokeTokens(RevokeTarget target, RevokeOptions options) {
    var request = target.request(options, projectId);
    return translate(() -> tokens.revokeTokens(request)).getRevocation();
  }

  /** Watches revocations and ended sessions: those in force, then each as it happens. */
  public RevocationWatch watchRevocations(WatchOptions options) {
    return new RevocationWatch(tokens, options.request(projectId), options.onLost(), connection.timer(), WatchTimes.USUAL);
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

  private ListSessionsResponse pageAfter(ListSessionsResponse before, ListOptions options) {
    return before.getNextPageToken().isEmpty() ? null : page(options, before.getNextPageToken());
  }

  private ListSessionsResponse page(ListOptions options, String pageToken) {
    var page = translate(() -> sessions.listSessions(options.request(projectId, pageToken)));
    if (!pageToken.isEmpty() && page.getNextPageToken().equals(pageToken)) {
      throw new AuthorityException(Status.Code.DATA_LOSS, "the authority sent a list without an end", null);
    }
    return page;
  }

  private Session session(io.github.tokenauthority.v1.Session details) {
    return new Session(details, this);
  }
}
