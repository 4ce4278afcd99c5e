/** Which calls a client repeats, as the contract says, and the interceptor that repeats them for connect-es. */
import { setTimeout } from "node:timers/promises";

import { type DescMethod, getOption } from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel as Level } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";

import { codeOf } from "./errors.js";
import { retry_on_unavailable_only } from "./gen/tokenauthority/v1/options_pb.js";

/** Attempts at one call, within its one deadline. */
export const MAX_ATTEMPTS = 5;

/** Return the statuses after which a call of *method* is repeated. */
export function repeatedCodes(method: DescMethod): Code[] {
  if (method.idempotency === Level.IDEMPOTENCY_UNKNOWN) return [];
  return getOption(method, retry_on_unavailable_only) ? [Code.Unavailable] : [Code.Unavailable, Code.Canceled];
}

/** Repeat a unary call that may be repeated, as gRPC does by a service config. It is the first interceptor. */
export const retry: Interceptor = (next) => async (request) => {
  const codes = request.stream ? [] : repeatedCodes(request.method);
  for (let attempt = 1; ; attempt++) {
    try {
      return await next(request);
    } catch (error) {
      const failed = ConnectError.from(error);
      const asked = Number(failed.metadata.get("grpc-retry-pushback-ms") ?? Number.NaN);
      if (attempt === MAX_ATTEMPTS || request.signal.aborted || asked < 0 || !codes.includes(codeOf(failed, request.signal))) throw error;
      const pause = Number.isNaN(asked) ? Math.random() * Math.min(2000, 50 * 2 ** attempt) : asked;
      await setTimeout(pause, undefined, { signal: request.signal });
    }
  }
};
