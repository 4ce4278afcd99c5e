/** What programs import. The messages and enums of the contract are in `@tokenauthority/client/v1`. */
export { Authority, Session } from "./authority.js";
export { connectEs } from "./connect.js";
export type { ConnectionOptions, Endpoint, OpenedTransport, OpenTransport } from "./connection.js";
export { AuthorityError, type StatusCode, type Violation } from "./errors.js";
export { Permission } from "./gen/tokenauthority/v1/role_pb.js";
export { ArchiveMode, MediaMode, SessionState } from "./gen/tokenauthority/v1/session_pb.js";
export { InactiveReason, TokenFormat } from "./gen/tokenauthority/v1/token_pb.js";
export type {
  Revocation, Token, TurnCredentials, VerifyTokenResponse, WatchRevocationsResponse,
} from "./gen/tokenauthority/v1/token_pb.js";
export type {
  ListOptions, RevokeOptions, SessionOptions, SessionRevokeOptions, TokenOptions, TokenRequest, TurnOptions, VerifyOptions,
} from "./requests.js";
export { retry } from "./retry.js";
export type { WatchOptions } from "./watch.js";
