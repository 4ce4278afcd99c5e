/** Watch revocations without a gap: a stream that breaks off is opened again after its last message. */
import { setTimeout as sleep } from "node:timers/promises";

import { Code, ConnectError } from "@connectrpc/connect";

import { type Checks, checked, func, signal, text, texts } from "./checks.js";
import { AuthorityError } from "./errors.js";
import type { WatchRevocationsRequest, WatchRevocationsResponse } from "./gen/tokenauthority/v1/token_pb.js";

/** Where a watch begins, and how it ends. */
export interface WatchOptions {
  /** The projects to watch, at most 1000; an empty list for all of the caller. Default: the client's project, or all. */
  projectIds?: string[];
  /** The `resumeToken` of the last message of an earlier watch; default: begin with everything in force. */
  resumeToken?: string;
  /** Ends the watch. */
  signal?: AbortSignal;
  /** Called when the stream breaks off, with the error and the milliseconds until the next attempt. */
  onLost?: (error: AuthorityError, pauseMs: number) => void;
}

/** Opens one stream; *signal* ends it. */
export type OpenStream = (
  request: Pick<WatchRevocationsRequest, "projectIds" | "resumeToken">, signal: AbortSignal,
) => AsyncIterable<WatchRevocationsResponse>;

const SILENCE_MS = 90_000;
const TEMPORARY: readonly string[] = ["UNAVAILABLE", "CANCELLED", "RESOURCE_EXHAUSTED"];
const TEMPORARY_WITHOUT_REASON: readonly string[] = ["INTERNAL", "UNKNOWN"];
const WATCH: Checks<WatchOptions> = { projectIds: texts, resumeToken: text, signal, onLost: func };

/**
 * Iterate over the messages, without end until `signal`. They may repeat, and none is missed.
 *
 * @throws AuthorityError that another attempt would meet too, or UNIMPLEMENTED for an event that this version does not know.
 */
export async function* watch(
  open: OpenStream, projectId: string, options: WatchOptions, silenceMs = SILENCE_MS,
): AsyncGenerator<WatchRevocationsResponse, void> {
  const { projectIds = projectId ? [projectId] : [], signal: end, onLost, ...from } = checked("the options of watchRevocations", options, WATCH);
  let { resumeToken = "" } = from;
  for (let attempts = 0; !end?.aborted; attempts++) {
    const stop = new AbortController();
    const lost = new ConnectError(`no message for ${silenceMs / 1000} seconds`, Code.Unavailable);
    let error = new AuthorityError("UNAVAILABLE", "the stream was closed");
    let isCaughtUp = false;
    const either = end ? AbortSignal.any([end, stop.signal]) : stop.signal;
    const messages = open({ projectIds, resumeToken }, either)[Symbol.asyncIterator]();
    try {
      for (;;) {
        const timer = setTimeout(() => stop.abort(lost), silenceMs);
        const next = await messages.next().finally(() => clearTimeout(timer));
        if (next.done) break;
        const { event } = next.value;
        if (event.case === undefined || (event.case === "revocation" && event.value.target.case === undefined))
          throw new AuthorityError("UNIMPLEMENTED", "an event that this version of the client does not know: update it");
        yield next.value;
        resumeToken = next.value.resumeToken;
        isCaughtUp ||= event.case === "snapshotEnd";
        // Not before: an authority that breaks off right after what is in force must not be asked for it without a pause.
        if (isCaughtUp && event.case === "heartbeat") attempts = 0;
      }
    } catch (problem) {
      if (end?.aborted) return;
      if (!(problem instanceof AuthorityError) || !isTemporary(problem)) throw problem;
      error = problem;
    } finally {
      stop.abort();
    }
    const pauseMs = Math.min(error.retryAfter ?? 0, 60) * 1000 + Math.random() * Math.min(10_000, 250 * 2 ** attempts);
    onLost?.(error, pauseMs);
    await sleep(pauseMs, undefined, { signal: end }).catch(() => undefined);
  }
}

function isTemporary(error: AuthorityError): boolean {
  // Without a reason the error comes from a proxy or the network.
  return TEMPORARY.includes(error.code) || (!error.reason && TEMPORARY_WITHOUT_REASON.includes(error.code));
}
