/** The options of calls, and the contract's requests that are made of them. */
import { randomUUID } from "node:crypto";

import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs, timestampFromMs } from "@bufbuild/protobuf/wkt";

import { bool, type Checks, checked, count, enumOf, listOf, moment, seconds, text, texts } from "./checks.js";
import { Permission } from "./gen/tokenauthority/v1/role_pb.js";
import { ArchiveMode, type CreateSessionRequestSchema, type ListSessionsRequestSchema, MediaMode, SessionState } from "./gen/tokenauthority/v1/session_pb.js";
import {
  type CreateTurnCredentialsRequestSchema, type RevokeTokensRequestSchema, TokenFormat,
  type TokenRequest as TokenRequestMessage, TokenRequestSchema, type VerifyTokenRequestSchema,
} from "./gen/tokenauthority/v1/token_pb.js";

/** What a session is; what is left out has the authority's default. */
export interface SessionOptions {
  /** Default RELAYED. */
  mediaMode?: MediaMode;
  /** Default MANUAL; ALWAYS needs a routed session. */
  archiveMode?: ArchiveMode;
  /** An IPv4 address: a hint where the first person connects from. */
  location?: string;
  /** Whether media is encrypted end to end; needs a routed session and manual archiving. */
  e2ee?: boolean;
  /** 1 to 80 characters; needs archiveMode ALWAYS. */
  archiveName?: string;
  /** Such as "1280x720"; needs archiveMode ALWAYS. */
  archiveResolution?: string;
  /** The room on real-time servers: 1 to 64 of a-z, 0-9, "-" and "_"; default: the session id. */
  name?: string;
  /** A UUID that makes the call safe to repeat for 24 hours; default: a fresh one. */
  requestId?: string;
}

/** What a token allows; what is left out has the authority's default. */
export interface TokenOptions {
  /** "publisher" (default), "subscriber", "publisheronly", "moderator" or one of the project's own. */
  role?: string;
  /** Connection data, at most 1000 characters. Everyone in the session can read it: no personal data. */
  data?: string;
  /** When the token expires: a Date or seconds since 1970, within 30 days; not together with `ttl`. */
  expireTime?: Date | number;
  /** How many seconds the token lives, at most 30 days. */
  ttl?: number;
  /** Default: the project's. */
  format?: TokenFormat;
  /** Layout classes that the person's streams start with. */
  initialLayoutClassList?: string[];
  /** The end user's id, at most 255 characters, by which tokens can be revoked; not for OpenTok and Vonage. */
  subject?: string;
}

/** One token of a batch. */
export interface TokenRequest extends TokenOptions {
  sessionId: string;
}

/** For whom TURN credentials are; what is left out has the authority's default. */
export interface TurnOptions {
  /** The end user's id, at most 255 characters. TURN servers see a pseudonym in its place. */
  subject?: string;
  /** How many seconds the credentials are valid, at most an hour. */
  ttl?: number;
}

/** What a token must be for, to be active. */
export interface VerifyOptions {
  /** The session that it must be for. */
  sessionId?: string;
  /** What it must allow. */
  requiredPermissions?: Permission[];
}

/** Which sessions to list. */
export interface ListOptions {
  /** Default: ACTIVE and ENDED. */
  state?: SessionState;
  /** How many sessions one call fetches, at most 1000; default 50. */
  pageSize?: number;
}

/** What goes with a revocation of all tokens of a session. */
export interface SessionRevokeOptions {
  /** Only tokens issued in this second or earlier; default: now. */
  issuedBefore?: Date | number;
  /** For the audit log and for watchers, at most 256 characters. */
  comment?: string;
}

/** Which tokens to revoke: exactly one of the first four, which is not empty. */
export interface RevokeOptions extends SessionRevokeOptions {
  token?: string;
  /** The token with this id, in the project. */
  tokenId?: string;
  /** All tokens of this session, which stays open. */
  sessionId?: string;
  /** All tokens of this end user, in the project. */
  subject?: string;
  /** The project of `tokenId` and `subject`; default: the client's. */
  projectId?: string;
}

const SESSION: Checks<SessionOptions> = {
  mediaMode: enumOf(MediaMode), archiveMode: enumOf(ArchiveMode), location: text, e2ee: bool, archiveName: text,
  archiveResolution: text, name: text, requestId: text,
};
const LIST: Checks<ListOptions> = { state: enumOf(SessionState), pageSize: count };
const TOKEN: Checks<TokenOptions> = {
  role: text, data: text, expireTime: moment, ttl: seconds, format: enumOf(TokenFormat), initialLayoutClassList: texts,
  subject: text,
};
const TURN: Checks<TurnOptions> = { subject: text, ttl: seconds };
const VERIFY: Checks<VerifyOptions> = {
  sessionId: text, requiredPermissions: listOf(enumOf(Permission), "a list of Permission"),
};
const REVOKE: Checks<RevokeOptions> = {
  token: text, tokenId: text, sessionId: text, subject: text, projectId: text, issuedBefore: moment, comment: text,
};

/** Build a CreateSessionRequest; its request id makes a retry safe. */
export function createSessionRequest(projectId: string, options: SessionOptions): MessageInitShape<typeof CreateSessionRequestSchema> {
  return { projectId, requestId: randomUUID(), ...checked("the options of createSession", options, SESSION) };
}

/** Build a ListSessionsRequest for the first page. */
export function listSessionsRequest(projectId: string, options: ListOptions): MessageInitShape<typeof ListSessionsRequestSchema> {
  return { projectId, ...checked("the options of listSessions", options, LIST) };
}

/** Build the request for one token. */
export function tokenRequest(sessionId: string, options: TokenOptions): TokenRequestMessage {
  const { expireTime, ttl, ...rest } = checked("the options of a token", options, TOKEN);
  requireText("sessionId", sessionId);
  if (expireTime !== undefined && ttl !== undefined) throw new TypeError("give expireTime or ttl, not both");
  const request = create(TokenRequestSchema, { sessionId, ...rest });
  if (expireTime !== undefined) request.lifetime = { case: "expireTime", value: timestamp(expireTime) };
  if (ttl !== undefined) request.lifetime = { case: "ttl", value: duration(ttl) };
  return request;
}

/** Build the requests for the tokens of a batch. */
export function batchRequests(requests: readonly TokenRequest[]): TokenRequestMessage[] {
  if (!Array.isArray(requests)) throw new TypeError("generateTokens needs a list of TokenRequests");
  return requests.map(({ sessionId, ...options }) => tokenRequest(sessionId, options));
}

/** Build a CreateTurnCredentialsRequest. */
export function turnCredentialsRequest(sessionId: string, options: TurnOptions): MessageInitShape<typeof CreateTurnCredentialsRequestSchema> {
  const { ttl, ...rest } = checked("the options of createTurnCredentials", options, TURN);
  requireText("sessionId", sessionId);
  return { sessionId, ...rest, ...(ttl !== undefined && { ttl: duration(ttl) }) };
}

/** Build a VerifyTokenRequest. */
export function verifyTokenRequest(token: string, options: VerifyOptions): MessageInitShape<typeof VerifyTokenRequestSchema> {
  // A lone surrogate is sent as U+FFFD, which no token has: whoever presents a token gets an answer.
  if (typeof token !== "string") throw new TypeError("token must be a string");
  return { token, ...checked("the options of verifyToken", options, VERIFY) };
}

/** Build a RevokeTokensRequest; *projectId* is the project of a `tokenId` or `subject` without one. */
export function revokeTokensRequest(projectId: string, options: RevokeOptions): MessageInitShape<typeof RevokeTokensRequestSchema> {
  const { issuedBefore, comment, projectId: own, ...targets } = checked("the options of revokeTokens", options, REVOKE);
  const given = Object.entries(targets).filter(([, value]) => value !== undefined);
  const [only] = given;
  if (given.length !== 1 || !only) throw new TypeError("give exactly one of token, tokenId, sessionId and subject");
  const [name, value] = only as [keyof typeof targets, string];
  if (!value) throw new TypeError(`${name} must not be empty`);
  const needsProject = name === "tokenId" || name === "subject";
  return {
    target: { case: name, value },
    projectId: own || (needsProject ? projectId : ""),
    ...(issuedBefore !== undefined && { issuedBefore: timestamp(issuedBefore) }),
    ...(comment !== undefined && { comment }),
  };
}

/** @throws TypeError if *value* is no string of Unicode text. */
export function requireText(name: string, value: unknown): void {
  const wanted = text(value);
  if (wanted) throw new TypeError(`${name} must be ${wanted}`);
}

function duration(seconds: number) {
  return durationFromMs(Math.trunc(seconds) * 1000);
}

function timestamp(at: Date | number) {
  return timestampFromMs(Math.floor(typeof at === "number" ? at : at.getTime() / 1000) * 1000);
}
