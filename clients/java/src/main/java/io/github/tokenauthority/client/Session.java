package io.github.tokenauthority.client;

import io.github.tokenauthority.v1.Revocation;

/** A room that people join, with the methods that let them in. */
public final class Session {
  private final io.github.tokenauthority.v1.Session details;
  private final Authority authority;

  Session(io.github.tokenauthority.v1.Session details, Authority authority) {
    this.details = details;
    this.authority = authority;
  }

  /** Returns the id of the session. */
  public String sessionId() {
    return details.getSessionId();
  }

  /** Returns what the authority says of the session. */
  public io.github.tokenauthority.v1.Session details() {
    return details;
  }

  /** Generates a token with which one person joins this session. */
  public Token generateToken(TokenOptions options) {
    return authority.generateToken(sessionId(), options);
  }

  /** Creates TURN credentials for this session; see {@link Authority#createTurnCredentials}. */
  public TurnCredentials createTurnCredentials(TurnOptions options) {
    return authority.createTurnCredentials(sessionId(), options);
  }

  /** Revokes all tokens of this session, which stays open. */
  public Revocation revokeTokens(RevokeOptions options) {
    return authority.revokeTokens(RevokeTarget.sessionId(sessionId()), options);
  }

  /** Ends this session; see {@link Authority#endSession}. This object does not change. */
  public Session end() {
    return authority.endSession(sessionId());
  }

  @Override
  public String toString() {
    return "Session[" + sessionId() + ", " + details.getState() + "]";
  }
}
