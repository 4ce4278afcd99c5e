/** What a failed call raises: an `AuthorityError` with the gRPC status, and the contract's reason and violations. */
import { Code, ConnectError } from "@connectrpc/connect";

import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "./gen/google/rpc/error_details_pb.js";

const CODES = [
  "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
  "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
  "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
] as const;

/** The name of a gRPC status. */
export type StatusCode = (typeof CODES)[number];

/** One invalid field of a request: its path, such as `requests[17].role`, and what is wrong with it. */
export interface Violation {
  readonly field: string;
  readonly problem: string;
}

/** A failed call. `message` is for a person; `code` and `reason` are for programs. Its `cause` is connect's error. */
export class AuthorityError extends Error {
  override readonly name = "AuthorityError";
  /** The contract's `ErrorReason`, such as "ROLE_NOT_GRANTED"; empty if no authority answered. */
  readonly reason: string;
  /** The invalid fields of the request. */
  readonly violations: readonly Violation[];
  /** Seconds to wait before a retry; undefined if the authority did not say. */
  readonly retryAfter: number | undefined;
  /** The id of the call in the authority's logs; empty if no authority answered. */
  readonly requestId: string;
  /** Facts beside the reason, such as the `limit` that the call is beyond. */
  readonly metadata: Readonly<Record<string, string>>;

  constructor(readonly code: StatusCode, message: string, cause?: ConnectError) {
    super(message, { cause });
    const info = cause?.findDetails(ErrorInfoSchema)[0];
    const delay = cause?.findDetails(RetryInfoSchema)[0]?.retryDelay;
    this.reason = info?.reason ?? "";
    this.metadata = { ...info?.metadata };
    this.requestId = cause?.metadata.get("x-request-id") ?? info?.metadata["request_id"] ?? "";
    this.retryAfter = delay && Math.max(0, Number(delay.seconds) + delay.nanos / 1e9);
    this.violations = (cause?.findDetails(BadRequestSchema) ?? []).flatMap((details) =>
      details.fieldViolations.map(({ field, description }) => ({ field, problem: description })),
    );
  }
}

/**
 * Return the gRPC status of an error. connect-node calls a lost connection ABORTED, INTERNAL or CANCELLED; gRPC, UNAVAILABLE.
 *
 * *signal* is that of the caller, who may have cancelled the call.
 */
export function codeOf(error: ConnectError, signal?: AbortSignal): Code {
  const isOfNode = error.cause instanceof Error && "code" in error.cause && typeof error.cause.code === "string";
  const isLost = error.code === Code.Canceled
    ? !signal?.aborted && !error.metadata.has("grpc-status")
    : isOfNode && (error.code === Code.Aborted || error.code === Code.Internal);
  return isLost ? Code.Unavailable : error.code;
}

/** Return what to raise for the error of a call: an argument that is no message stays a TypeError. */
export function translated(error: unknown, signal?: AbortSignal): unknown {
  if (error instanceof AuthorityError || error instanceof TypeError) return error;
  const cause = ConnectError.from(error);
  return new AuthorityError(CODES[codeOf(cause, signal)] ?? "UNKNOWN", cause.rawMessage || Code[cause.code] || "failed", cause);
}
