/** What every call has, over connect-es and grpc-js alike: credentials, a deadline, checked messages, typed errors. */
import type { DescMessage, MessageInitShape } from "@bufbuild/protobuf";
import type { Transport } from "@connectrpc/connect";

import { requireKnownFields } from "./checks.js";
import type { Connection } from "./connection.js";
import { AuthorityError, translated } from "./errors.js";

/** Bytes of the largest legal answer: a full batch of the longest tokens. */
export const MAX_RECEIVE_BYTES = 48 << 20;

/** Milliseconds without a message after which a client pings, while a call waits. */
export const KEEPALIVE_MS = 60_000;
export const KEEPALIVE_TIMEOUT_MS = 20_000;

/**
 * Return *inner* with the credentials and the deadline of *connection*, until *isClosed*. A stream has no deadline unless it
 * is given one.
 */
export function callerTransport(inner: Transport, { bearer, timeoutMs: longest }: Connection, isClosed: () => boolean): Transport {
  const authorize = async (given: ConstructorParameters<typeof Headers>[0], patience: number) => {
    if (isClosed()) throw new AuthorityError("FAILED_PRECONDITION", "this client is closed: make another one");
    const header = new Headers(given);
    const credential = await within(bearer(), patience);
    if (credential) header.set("authorization", `Bearer ${credential}`);
    return header;
  };
  return {
    async unary(method, signal, timeoutMs = longest, given, input, values) {
      try {
        requireKnownFields(method.input, input);
        const began = performance.now();
        const header = await authorize(given, timeoutMs);
        const left = Math.max(1, Math.round(timeoutMs - (performance.now() - began)));
        return await inner.unary(method, signal, left, header, input, values);
      } catch (error) {
        throw translated(error, signal);
      }
    },
    async stream(method, signal, timeoutMs, given, input, values) {
      try {
        const header = await authorize(given, longest);
        const answer = await inner.stream(method, signal, timeoutMs, header, known(method.input, input), values);
        return { ...answer, message: translatedMessages(answer.message, signal) };
      } catch (error) {
        throw translated(error, signal);
      }
    },
  };
}

async function* known<I extends DescMessage>(message: I, inputs: AsyncIterable<MessageInitShape<I>>) {
  for await (const input of inputs) {
    requireKnownFields(message, input);
    yield input;
  }
}

async function* translatedMessages<T>(messages: AsyncIterable<T>, signal?: AbortSignal): AsyncGenerator<T> {
  try {
    yield* messages;
  } catch (error) {
    throw translated(error, signal);
  }
}

/** Wait for *promise*, for so many milliseconds at most. */
async function within<T>(promise: Promise<T>, timeoutMs: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new AuthorityError("DEADLINE_EXCEEDED", "credentials() did not answer in time")), timeoutMs);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
