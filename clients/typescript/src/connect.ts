/** The connection of connect-es. */
import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";

import type { Endpoint, OpenedTransport } from "./connection.js";
import { retry } from "./retry.js";
import { KEEPALIVE_MS, KEEPALIVE_TIMEOUT_MS, MAX_RECEIVE_BYTES } from "./transport.js";

/** Open a connection over Node's own HTTP/2. It uses no HTTP proxy. */
export function connectEs({ address, tls }: Endpoint): OpenedTransport {
  const baseUrl = `${tls ? "https" : "http"}://${address}`;
  const pings = { pingIntervalMs: KEEPALIVE_MS, pingTimeoutMs: KEEPALIVE_TIMEOUT_MS };
  const sessionManager = new Http2SessionManager(baseUrl, pings, tls);
  let isClosed = false;
  const refuse: Interceptor = (next) => (request) => {
    // Without this a retry would open the connection again.
    if (isClosed) throw new ConnectError("this client is closed", Code.FailedPrecondition);
    return next(request);
  };
  const interceptors = [retry, refuse];
  const transport = createGrpcTransport({ baseUrl, sessionManager, interceptors, readMaxBytes: MAX_RECEIVE_BYTES });
  const close = () => {
    isClosed = true;
    sessionManager.abort();
  };
  return { transport, close };
}
