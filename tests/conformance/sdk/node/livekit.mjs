// Reads a JSON list of requests and writes the list of the tokens that LiveKit's official SDK makes for them.
import { text } from "node:stream/consumers";
import { AccessToken } from "livekit-server-sdk";

const requests = JSON.parse(await text(process.stdin));
const tokens = await Promise.all(requests.map(({ apiKey, apiSecret, identity, metadata, grant }) => {
  const token = new AccessToken(apiKey, apiSecret, { identity, metadata });
  token.addGrant(grant);
  return token.toJwt();
}));
process.stdout.write(JSON.stringify(tokens));
