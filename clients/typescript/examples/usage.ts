// The examples of docs/clients/typescript.md; `make interop` runs them.
import { readFileSync } from "node:fs";

import { Authority, AuthorityError, InactiveReason, Permission, SessionState, TokenFormat } from "@tokenauthority/client";
import { grpcJs } from "@tokenauthority/client/grpc-js";

// --8<-- [start:credentials]
export const renewed = () =>
  new Authority({
    address: "tokens.example.com:50051",
    caFile: "ca.pem",
    projectId: "47000000",
    tokenFile: "/var/run/secrets/tokens/tokenauthority", // read for each call
  });
export const called = () =>
  new Authority({
    address: "tokens.example.com:50051",
    credentials: async () => readFileSync("jwt", "utf8").trim(), // called for each call
  });
export const certified = () =>
  new Authority({ address: "tokens.example.com:50052", caFile: "ca.pem", certFile: "svid.pem", keyFile: "svid.key" });
// --8<-- [end:credentials]

// --8<-- [start:grpcjs]
const authority = Authority.fromEnvironment({ transport: grpcJs });
// --8<-- [end:grpcjs]

async function batch(): Promise<void> {
  // --8<-- [start:batch]
  const session = await authority.createSession();
  const { sessionId } = session;
  const [first, second] = await authority.generateTokens([
    { sessionId, role: "moderator", subject: "user-1", format: TokenFormat.SESSION_JWT },
    { sessionId, role: "subscriber", ttl: 3600 },
  ]);
  const requiredPermissions = [Permission.PUBLISH];
  const { active, reason } = await authority.verifyToken(second!.token, { sessionId, requiredPermissions });
  console.log(active, InactiveReason[reason]); // false PERMISSION_MISSING
  await authority.revokeTokens({ token: second!.token, comment: "left the company" });
  await authority.revokeTokens({ subject: "user-1" });
  await session.end();
  console.log(InactiveReason[(await authority.verifyToken(first!.token)).reason]); // SESSION_ENDED or REVOKED
  // --8<-- [end:batch]
}

async function list(): Promise<void> {
  // --8<-- [start:list]
  for await (const session of authority.listSessions({ state: SessionState.ACTIVE })) {
    console.log(session.sessionId, session.details.mediaMode);
    break; // a real program goes on
  }
  // --8<-- [end:list]
}

async function watch(): Promise<void> {
  // --8<-- [start:watch]
  for await (const { event, resumeToken } of authority.watchRevocations()) {
    if (event.case === "revocation" || event.case === "sessionEnd") console.log("disconnect", event.value);
    if (event.case === "snapshotEnd") {
      console.log("complete, resume with", resumeToken);
      break; // a real program goes on
    }
  }
  // --8<-- [end:watch]
}

async function errors(): Promise<void> {
  // --8<-- [start:errors]
  try {
    const session = await authority.createSession();
    await session.generateToken({ ttl: 31 * 24 * 3600 });
  } catch (error) {
    if (!(error instanceof AuthorityError)) throw error;
    if (error.code === "INVALID_ARGUMENT") console.log(error.reason, error.violations);
    else if (error.code === "RESOURCE_EXHAUSTED") console.log(error.reason, "wait", error.retryAfter);
    else console.log(error.code, error.message, error.requestId);
  }
  // --8<-- [end:errors]
}

async function others(): Promise<void> {
  const projectId = process.env["TOKENAUTHORITY_PROJECT_ID"] ?? "";
  // --8<-- [start:others]
  const { roles } = await authority.roles.listRoles({ projectId });
  console.log(roles.map((role) => role.name));
  // --8<-- [end:others]
}

for (const example of [batch, list, watch, errors, others]) await example();
authority.close();
