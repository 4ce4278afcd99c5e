/** An authority in this process, for tests of what needs no real one. */
import { type ConnectRouter, createRouterTransport } from "@connectrpc/connect";

import { Authority, type ConnectionOptions, retry } from "../src/index.js";

/** Return a client whose calls *routes* answers. */
export function clientOf(routes: (router: ConnectRouter) => void, options: Partial<ConnectionOptions> = {}): Authority {
  const transport = createRouterTransport(routes, { transport: { interceptors: [retry] } });
  return new Authority({ address: "localhost:1", apiKey: "tak_key", transport: () => ({ transport, close() {} }), ...options });
}
