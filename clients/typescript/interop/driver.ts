// Does with the client what each line of standard input asks for; clients/interop/README.md has the protocol.
import { setTimeout as sleep } from "node:timers/promises";
import { createInterface } from "node:readline";
import { inspect } from "node:util";

import { type DescMethodUnary, fromBinary, toBinary } from "@bufbuild/protobuf";
import { timestampDate } from "@bufbuild/protobuf/wkt";

import { grpcJs } from "../src/grpc-js.js";
import {
  ArchiveMode, Authority, AuthorityError, connectEs, InactiveReason, MediaMode, Permission, SessionState, TokenFormat,
  type TokenOptions, type WatchRevocationsResponse,
} from "../src/index.js";
import { services } from "../src/v1.js";

type Line = Record<string, any>;

let authority: Authority;
const seen: WatchRevocationsResponse[] = [];
const losses: Line[] = [];
let watching = new AbortController();

const upper = (name?: string) => name?.toUpperCase() as never;

function tokenOptions(given: Line): TokenOptions {
  const { format, initial_layout_class_list: initialLayoutClassList, expire_time: expireTime, session_id: _, ...rest } = given;
  return { ...rest, initialLayoutClassList, expireTime, format: format && TokenFormat[upper(format)] };
}

const operations: Record<string, (line: Line) => Promise<Line>> = {
  async call({ method, request }) {
    const [service, name] = method.split("/");
    const found = services.find((each) => each.typeName === service)?.methods.find((each) => each.name === name) as DescMethodUnary;
    const message = fromBinary(found.input, Buffer.from(request, "base64"));
    const answer = await authority.transport.unary(found, undefined, undefined, undefined, message);
    return { response: Buffer.from(toBinary(found.output, answer.message)).toString("base64") };
  },
  async create_session({ options }) {
    const session = await authority.createSession({
      mediaMode: options.media_mode && MediaMode[upper(options.media_mode)],
      archiveMode: options.archive_mode && ArchiveMode[upper(options.archive_mode)],
      location: options.location, e2ee: options.e2ee, archiveName: options.archive_name,
      archiveResolution: options.archive_resolution, name: options.name,
    });
    return { session_id: session.sessionId };
  },
  async generate_token({ session_id, via, options }) {
    const wanted = tokenOptions(options);
    const made = via === "session"
      ? await (await authority.getSession(session_id)).generateToken(wanted)
      : await authority.generateToken(session_id, wanted);
    return { token: made.token, token_id: made.tokenId, expire_time: timestampDate(made.expireTime!).getTime() / 1000 };
  },
  async generate_tokens({ requests }) {
    const made = await authority.generateTokens(requests.map((each: Line) => ({ sessionId: each.session_id, ...tokenOptions(each) })));
    return { tokens: made.map((each) => each.token) };
  },
  async create_turn_credentials({ session_id, via, options }) {
    const made = via === "session"
      ? await (await authority.getSession(session_id)).createTurnCredentials(options)
      : await authority.createTurnCredentials(session_id, options);
    const { urls, username, credential } = made;
    const expire_time = timestampDate(made.expireTime!).getTime() / 1000;
    return { urls, username, credential, expire_time, shown: inspect(made) };
  },
  async verify_token({ token, session_id: sessionId, required_permissions: wanted }) {
    const requiredPermissions = wanted?.map((name: string) => Permission[upper(name)]);
    const { active, reason, claims } = await authority.verifyToken(token, { sessionId, requiredPermissions });
    return { active, reason: active ? "" : InactiveReason[reason], role: claims?.role ?? "", data: claims?.data ?? "" };
  },
  async revoke_tokens({ token, token_id: tokenId, session_id: sessionId, subject, comment, via }) {
    if (via === "session") await (await authority.getSession(sessionId)).revokeTokens({ comment });
    else await authority.revokeTokens({ token, tokenId, sessionId, subject, comment });
    return {};
  },
  async list_sessions({ state, page_size: pageSize }) {
    const found = [];
    for await (const session of authority.listSessions({ state: state && SessionState[upper(state)], pageSize })) found.push(session.sessionId);
    return { session_ids: found };
  },
  async end_session({ session_id }) {
    return { state: SessionState[(await authority.endSession(session_id)).details.state]!.toLowerCase() };
  },
  async watch({ resume_token: resumeToken }) {
    watching.abort();
    watching = new AbortController();
    seen.length = losses.length = 0;
    const onLost = (error: AuthorityError, pauseMs: number) => losses.push({ code: error.code, pause: pauseMs / 1000 });
    const messages = authority.watchRevocations({ resumeToken, signal: watching.signal, onLost });
    void (async () => {
      for await (const message of messages) seen.push(message);
    })().catch((error) => console.error("the watch ended:", error));
    return {};
  },
  async watched({ token_id, session_id, subject, within }) {
    for (const until = Date.now() + within * 1000; Date.now() < until; await sleep(20))
      for (const { event, resumeToken: resume_token } of seen) {
        if (event.case === "revocation") {
          const { case: kind, value } = event.value.target;
          const wanted = { tokenId: token_id, sessionId: session_id, subject, wholeProject: undefined }[kind!];
          if (wanted !== undefined && wanted === value) return { kind: "revocation", resume_token };
        }
        if (event.case === "sessionEnd" && event.value.sessionId === session_id) return { kind: "ended_session", resume_token };
      }
    throw new TypeError(`no such event within ${within} seconds`);
  },
  async lost({ within }) {
    for (const until = Date.now() + within * 1000; Date.now() < until; await sleep(20)) if (losses[0]) return losses[0];
    throw new TypeError(`the watch was not lost within ${within} seconds`);
  },
  async load({ session_id, callers, calls }) {
    const errors: string[] = [];
    await Promise.all(Array.from({ length: callers }, async () => {
      for (let call = 0; call < calls; call++) await authority.generateToken(session_id).catch((error) => errors.push(String(error)));
    }));
    return { failed: errors.length, errors: errors.slice(0, 5) };
  },
};

async function answer(line: string): Promise<Line> {
  const request: Line = JSON.parse(line);
  try {
    authority ??= Authority.fromEnvironment({ transport: process.argv[2] === "grpc-js" ? grpcJs : connectEs });
    return { ok: await operations[request["op"]]!(request) };
  } catch (error) {
    if (!(error instanceof AuthorityError)) return { error: { code: "CLIENT", message: String(error) } };
    const { code, reason, violations, retryAfter, message } = error;
    return { error: { code, reason, violations, retry_after: retryAfter ?? null, message } };
  }
}

for await (const line of createInterface({ input: process.stdin })) console.log(JSON.stringify(await answer(line)));
watching.abort();
authority! && authority.close();
