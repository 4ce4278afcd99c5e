/** The client: sessions, and the tokens that people join them with. */
import { inspect } from "node:util";

import { type Client, createClient, type Transport } from "@connectrpc/connect";

import { connectEs } from "./connect.js";
import { type ConnectionOptions, connectionOf, type Names, optionsFrom, VARIABLES } from "./connection.js";
import { AuthorityError } from "./errors.js";
import type { Session as SessionMessage } from "./gen/tokenauthority/v1/session_pb.js";
import type {
  Revocation, Token, TurnCredentials, VerifyTokenResponse, WatchRevocationsResponse,
} from "./gen/tokenauthority/v1/token_pb.js";
import {
  batchRequests, createSessionRequest, type ListOptions, listSessionsRequest, requireText, revokeTokensRequest,
  type RevokeOptions, type SessionOptions, type SessionRevokeOptions, type TokenOptions, type TokenRequest, tokenRequest,
  turnCredentialsRequest, type TurnOptions, type VerifyOptions, verifyTokenRequest,
} from "./requests.js";
import { callerTransport } from "./transport.js";
import { KeyService, ProjectService, RoleService, SessionService, TokenService } from "./v1.js";
import { watch, type WatchOptions } from "./watch.js";

/**
 * A client of one authority as one caller; one is enough for a process.
 *
 * Every call may throw an `AuthorityError`. An argument that is invalid, or an option that does not exist, is a
 * TypeError before anything is sent. `sessions`, `tokens`, `roles`, `projects` and `keys` are the stubs of the contract,
 * with the same credentials, deadline, retries, checks and errors.
 */
export class Authority {
  readonly sessions: Client<typeof SessionService>;
  readonly tokens: Client<typeof TokenService>;
  readonly roles: Client<typeof RoleService>;
  readonly projects: Client<typeof ProjectService>;
  readonly keys: Client<typeof KeyService>;
  /** What the stubs use. */
  readonly transport: Transport;
  readonly #projectId: string;
  readonly #close: () => void;

  /**
   * *names* are what an error calls the options.
   *
   * @throws TypeError or Error for an option that is invalid, or a file that cannot be read.
   */
  constructor(options: ConnectionOptions, names: Names = {}) {
    const connection = connectionOf(options, names);
    const { transport, close } = (options.transport ?? connectEs)(connection.endpoint);
    let isClosed = false;
    this.#projectId = connection.projectId;
    this.#close = () => {
      isClosed = true;
      close();
    };
    this.transport = callerTransport(transport, connection, () => isClosed);
    this.sessions = createClient(SessionService, this.transport);
    this.tokens = createClient(TokenService, this.transport);
    this.roles = createClient(RoleService, this.transport);
    this.projects = createClient(ProjectService, this.transport);
    this.keys = createClient(KeyService, this.transport);
  }

  /** Return the client that the variables `TOKENAUTHORITY_...` describe; *more* replaces what they say. */
  static fromEnvironment(more: Partial<ConnectionOptions> = {}, environment: NodeJS.ProcessEnv = process.env): Authority {
    return new Authority({ ...optionsFrom(environment), ...more }, VARIABLES);
  }

  /** Create a session in the client's project. */
  async createSession(options: SessionOptions = {}): Promise<Session> {
    return this.#session(await this.sessions.createSession(createSessionRequest(this.#projectId, options)));
  }

  /** Return the session with this id. */
  async getSession(sessionId: string): Promise<Session> {
    requireText("sessionId", sessionId);
    return this.#session(await this.sessions.getSession({ sessionId }));
  }

  /** Iterate over the sessions of the client's project, newest first, page after page. */
  async *listSessions(options: ListOptions = {}): AsyncGenerator<Session, void> {
    const request = listSessionsRequest(this.#projectId, options);
    for (let pageToken = "", last; ; last = pageToken) {
      const page = await this.sessions.listSessions({ ...request, pageToken });
      for (const details of page.sessions) yield new Session(this, details);
      pageToken = page.nextPageToken;
      if (!pageToken) return;
      if (pageToken === last) throw new AuthorityError("DATA_LOSS", "the authority sent a list without an end");
    }
  }

  /** End a session for good: it gets no more tokens, and its tokens become invalid. To end it twice changes nothing. */
  async endSession(sessionId: string): Promise<Session> {
    requireText("sessionId", sessionId);
    return this.#session(await this.sessions.endSession({ sessionId }));
  }

  /** Generate a token with which one person joins the session. */
  async generateToken(sessionId: string, options: TokenOptions = {}): Promise<Token> {
    const { token } = await this.tokens.generateToken({ request: tokenRequest(sessionId, options) });
    return printedById(required(token, "token"));
  }

  /** Generate 1 to 1000 tokens in one call, all or none, in the order of *requests*. */
  async generateTokens(requests: readonly TokenRequest[]): Promise<Token[]> {
    return (await this.tokens.batchGenerateTokens({ requests: batchRequests(requests) })).tokens.map(printedById);
  }

  /** Create a user name and a password with which one person's client uses the authority's TURN servers. */
  async createTurnCredentials(sessionId: string, options: TurnOptions = {}): Promise<TurnCredentials> {
    const { credentials } = await this.tokens.createTurnCredentials(turnCredentialsRequest(sessionId, options));
    const made = required(credentials, "TURN credentials");
    return printedAs(made, `TurnCredentials ${made.username}`);
  }

  /** Check whether a token is valid now: look at `active` of the answer. An invalid token is no error. */
  async verifyToken(token: string, options: VerifyOptions = {}): Promise<VerifyTokenResponse> {
    return await this.tokens.verifyToken(verifyTokenRequest(token, options));
  }

  /** Revoke one token, all tokens of a session, or all tokens of an end user. It is durable when the call returns. */
  async revokeTokens(options: RevokeOptions): Promise<Revocation> {
    const { revocation } = await this.tokens.revokeTokens(revokeTokensRequest(this.#projectId, options));
    return required(revocation, "revocation");
  }

  /** Watch revocations and ended sessions: those in force, then each as it happens. It resumes by itself. */
  watchRevocations(options: WatchOptions = {}): AsyncGenerator<WatchRevocationsResponse, void> {
    return watch((request, signal) => this.tokens.watchRevocations(request, { signal }), this.#projectId, options);
  }

  /** Close the connection, and cancel the calls that still run. A later call fails, and a watch ends, with FAILED_PRECONDITION. */
  close(): void {
    this.#close();
  }

  #session({ session }: { session?: SessionMessage }): Session {
    return new Session(this, required(session, "session"));
  }
}

/** A room that people join. */
export class Session {
  readonly #authority: Authority;

  /** *details* are the contract's message, as the authority answered it. */
  constructor(authority: Authority, readonly details: SessionMessage) {
    this.#authority = authority;
  }

  get sessionId(): string {
    return this.details.sessionId;
  }

  /** Generate a token with which one person joins this session. */
  generateToken(options: TokenOptions = {}): Promise<Token> {
    return this.#authority.generateToken(this.sessionId, options);
  }

  /** Create TURN credentials for this session. */
  createTurnCredentials(options: TurnOptions = {}): Promise<TurnCredentials> {
    return this.#authority.createTurnCredentials(this.sessionId, options);
  }

  /** Revoke all tokens of this session, which stays open. */
  revokeTokens(options: SessionRevokeOptions = {}): Promise<Revocation> {
    return this.#authority.revokeTokens({ ...options, sessionId: this.sessionId });
  }

  /** End this session for good; the answer is the ended one. */
  end(): Promise<Session> {
    return this.#authority.endSession(this.sessionId);
  }
}

/** Return the token, of which `console.log` shows the id alone. */
function printedById(token: Token): Token {
  return printedAs(token, `Token ${token.tokenId}`);
}

function printedAs<T extends object>(value: T, shown: string): T {
  return Object.defineProperty(value, inspect.custom, { value: () => shown });
}

function required<T>(value: T | undefined, name: string): T {
  if (value === undefined) throw new AuthorityError("DATA_LOSS", `the authority sent no ${name}`);
  return value;
}
