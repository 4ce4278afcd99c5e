/** What calls send, refuse, repeat and raise. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { inspect } from "node:util";

import { create } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";

import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "../src/gen/google/rpc/error_details_pb.js";
import { codeOf } from "../src/errors.js";
import { serviceConfig } from "../src/grpc-js.js";
import { type Authority, AuthorityError, MediaMode } from "../src/index.js";
import { type CreateSessionRequest, type CreateTurnCredentialsRequest, RoleService, SessionService, TokenService, type TokenRequest } from "../src/v1.js";
import { clientOf } from "./authority.js";

test("a session is created in the client's project, with an id that makes a retry safe", async () => {
  const asked: CreateSessionRequest[] = [];
  const authority = clientOf((router) => router.rpc(SessionService.method.createSession, (request) => {
    asked.push(request);
    return { session: { sessionId: "s" } };
  }), { projectId: "47" });

  const session = await authority.createSession({ mediaMode: MediaMode.ROUTED });
  await authority.createSession();

  assert.equal(session.sessionId, "s");
  assert.deepEqual(asked.map((request) => request.projectId), ["47", "47"]);
  assert.equal(asked[0]?.mediaMode, MediaMode.ROUTED);
  assert.equal(new Set(asked.map((request) => request.requestId)).size, 2);
});

test("lifetimes are whole seconds", async () => {
  const asked: TokenRequest[] = [];
  const authority = clientOf((router) => router.rpc(TokenService.method.generateToken, ({ request }) => {
    asked.push(request!);
    return { token: {} };
  }));

  await authority.generateToken("s", { ttl: 1.9 });
  await authority.generateToken("s", { expireTime: new Date(1_900_000_000_999) });
  await authority.generateToken("s", { expireTime: 1_900_000_000 });

  assert.deepEqual(asked.map(({ lifetime }) => [lifetime.case, lifetime.value?.seconds, lifetime.value?.nanos]),
    [["ttl", 1n, 0], ["expireTime", 1_900_000_000n, 0], ["expireTime", 1_900_000_000n, 0]]);
});

test("a token is not shown when it is printed", async () => {
  const token = { token: "secret", tokenId: "id" };
  const authority = clientOf((router) => {
    router.rpc(TokenService.method.generateToken, () => ({ token }));
    router.rpc(TokenService.method.batchGenerateTokens, () => ({ tokens: [token] }));
  });

  const made = [await authority.generateToken("s"), ...(await authority.generateTokens([{ sessionId: "s" }]))];

  assert.deepEqual(made.map((each) => each.token), ["secret", "secret"]);
  assert.equal(inspect(made), "[ Token id, Token id ]");
});

test("TURN credentials are for whole seconds, and not shown when they are printed", async () => {
  const asked: CreateTurnCredentialsRequest[] = [];
  const authority = clientOf((router) => router.rpc(TokenService.method.createTurnCredentials, (request) => {
    asked.push(request);
    return { credentials: { urls: ["turn:a"], username: "1:a", credential: "secret" } };
  }));

  const made = await authority.createTurnCredentials("s", { subject: "alice", ttl: 1.9 });
  await authority.createTurnCredentials("s");

  assert.deepEqual(asked.map(({ sessionId, subject, ttl }) => [sessionId, subject, ttl?.seconds, ttl?.nanos]),
    [["s", "alice", 1n, 0], ["s", "", undefined, undefined]]);
  assert.deepEqual([made.urls, made.credential], [["turn:a"], "secret"]);
  assert.equal(inspect([made]), "[ TurnCredentials 1:a ]");
});

/** Calls as a program in JavaScript may write them. */
const slips: [string, (authority: any) => Promise<unknown>, RegExp][] = [
  ["a misspelt option of a session", (a) => a.createSession({ media_mode: MediaMode.ROUTED }), /no property media_mode/],
  ["the name of an enum's value", (a) => a.createSession({ mediaMode: "ROUTED" }), /mediaMode must be one of/],
  ["both lifetimes", (a) => a.generateToken("s", { ttl: 1, expireTime: 2 }), /not both/],
  ["a ttl that is no number", (a) => a.generateToken("s", { ttl: Number.NaN }), /ttl must be/],
  ["a lone surrogate", (a) => a.generateToken("s", { data: "\ud800" }), /data must be/],
  ["a misspelt option in a batch", (a) => a.generateTokens([{ sessionId: "s", expire_time: 1 }]), /no property expire_time/],
  ["a misspelt option of TURN credentials", (a) => a.createTurnCredentials("s", { TTL: 1 }), /no property TTL/],
  ["a misspelt requirement", (a) => a.verifyToken("t", { required_permissions: [3] }), /no property required_permissions/],
  ["a token in bytes", (a) => a.verifyToken(Buffer.from("t")), /token must be a string/],
  ["two targets", (a) => a.revokeTokens({ token: "t", subject: "u" }), /exactly one/],
  ["two targets, one of them empty", (a) => a.revokeTokens({ sessionId: "s", subject: "" }), /exactly one/],
  ["an empty target", (a) => a.revokeTokens({ subject: "" }), /subject must not be empty/],
  ["no target", (a) => a.revokeTokens({ comment: "c" }), /exactly one/],
  ["a misspelt field of a stub", (a) => a.tokens.verifyToken({ token: "t", session_id: "s" }), /no property session_id/],
  ["a misspelt field within a stub's message", (a) => a.tokens.generateToken({ request: { sessionId: "s", ttl: 1 } }), /no property ttl/],
  ["a misspelt case of a stub's oneof", (a) => a.tokens.revokeTokens({ target: { case: "token_id", value: "x" } }), /no property token_id/],
  ["a misspelt field within a stub's oneof", (a) => a.tokens.generateToken({ request: { lifetime: { case: "ttl", value: { sec: 1n } } } }), /no property sec/],
  ["a misspelt option of a watch", (a) => a.watchRevocations({ resume_token: "x" }).next(), /no property resume_token/],
];
for (const [what, call, problem] of slips)
  test(`refuses ${what}, before anything is sent`, async () => {
    const sent = () => assert.fail("was sent");
    const authority: Authority = clientOf((router) => router
      .rpc(SessionService.method.createSession, sent).rpc(TokenService.method.generateToken, sent)
      .rpc(TokenService.method.batchGenerateTokens, sent).rpc(TokenService.method.verifyToken, sent)
      .rpc(TokenService.method.createTurnCredentials, sent)
      .rpc(TokenService.method.revokeTokens, sent));
    await assert.rejects((async () => call(authority))(), (error: Error) => {
      assert.ok(error instanceof TypeError);
      assert.match(error.message, problem);
      return true;
    });
  });

test("an error has the contract's reason, violations and pause", async () => {
  const details = [
    { desc: ErrorInfoSchema, value: { reason: "RATE_LIMIT", metadata: { limit: "rate", request_id: "r1" } } },
    { desc: BadRequestSchema, value: { fieldViolations: [{ field: "requests[17].role", description: "is unknown" }] } },
    { desc: RetryInfoSchema, value: { retryDelay: { seconds: 1n, nanos: 500_000_000 } } },
  ];
  const authority = clientOf((router) => router.rpc(SessionService.method.getSession, () => {
    throw new ConnectError("too many calls", Code.ResourceExhausted, undefined, details);
  }));

  await assert.rejects(authority.getSession("s"), (error: AuthorityError) => {
    assert.ok(error instanceof AuthorityError);
    assert.equal(error.code, "RESOURCE_EXHAUSTED");
    assert.equal(error.reason, "RATE_LIMIT");
    assert.deepEqual(error.violations, [{ field: "requests[17].role", problem: "is unknown" }]);
    assert.equal(error.retryAfter, 1.5);
    assert.equal(error.requestId, "r1");
    assert.equal(error.metadata["limit"], "rate");
    assert.equal(error.message, "too many calls");
    return true;
  });
});

async function attempts(code: Code, fails: number, call: (authority: Authority) => Promise<unknown>, header?: Record<string, string>) {
  let count = 0;
  const answer = () => {
    count += 1;
    if (count <= fails) throw new ConnectError("no", code, { "grpc-status": String(code), ...header });
    return {};
  };
  const authority = clientOf((router) => router
    .rpc(TokenService.method.verifyToken, answer).rpc(RoleService.method.createRole, answer));
  const failed = await call(authority).then(() => undefined, (error: AuthorityError) => error.code);
  return { count, failed };
}
const verify = (authority: Authority) => authority.verifyToken("t");
const createRole = (authority: Authority) => authority.roles.createRole({});

test("a call that may be repeated is repeated after UNAVAILABLE and CANCELLED", async () => {
  assert.deepEqual(await attempts(Code.Unavailable, 1, verify), { count: 2, failed: undefined });
  assert.deepEqual(await attempts(Code.Canceled, 1, verify), { count: 2, failed: undefined });
});

test("after other errors no call is repeated", async () => {
  assert.deepEqual(await attempts(Code.ResourceExhausted, 1, verify), { count: 1, failed: "RESOURCE_EXHAUSTED" });
});

test("a call whose second attempt could fail is repeated after UNAVAILABLE alone", async () => {
  assert.deepEqual(await attempts(Code.Unavailable, 1, createRole), { count: 2, failed: undefined });
  assert.deepEqual(await attempts(Code.Canceled, 1, createRole), { count: 1, failed: "CANCELLED" });
});

test("a server that says that a retry cannot help is not asked again", async () => {
  const never = { "grpc-retry-pushback-ms": "-1" };
  assert.deepEqual(await attempts(Code.Unavailable, 1, verify, never), { count: 1, failed: "UNAVAILABLE" });
});

test("a connection that is lost is UNAVAILABLE, and one that the caller ended is not", () => {
  for (const code of [Code.Canceled, Code.Unavailable]) {
    const failed = new ConnectError("lost", code);
    assert.equal(codeOf(failed), Code.Unavailable);
  }
  const reset = new ConnectError("lost", Code.Aborted);
  reset.cause = Object.assign(new Error("read"), { code: "ECONNRESET" });
  assert.equal(codeOf(reset), Code.Unavailable);
  assert.equal(codeOf(new ConnectError("cancelled", Code.Canceled), AbortSignal.abort()), Code.Canceled);
  assert.equal(codeOf(new ConnectError("cancelled", Code.Canceled, { "grpc-status": "1" })), Code.Canceled);
});

test("there are five attempts at most", async () => {
  const soon = { "grpc-retry-pushback-ms": "0" };
  assert.deepEqual(await attempts(Code.Unavailable, 9, verify, soon), { count: 5, failed: "UNAVAILABLE" });
});

test("grpc-js repeats the same calls", () => {
  const codes = (name: string) => serviceConfig.methodConfig.find((config) => config.name[0]?.method === name)?.retryPolicy.retryableStatusCodes;
  assert.deepEqual(codes("VerifyToken"), [Code.Unavailable, Code.Canceled]);
  assert.deepEqual(codes("CreateRole"), [Code.Unavailable]);
  assert.equal(codes("CreateProject"), undefined);
});

test("a closed client makes no call", async () => {
  const authority = clientOf((router) => router.rpc(TokenService.method.verifyToken, () => assert.fail("was sent")));
  authority.close();
  await assert.rejects(authority.verifyToken("t"), { code: "FAILED_PRECONDITION" });
});

test("a list without an end is an error", async () => {
  const authority = clientOf((router) => router.rpc(SessionService.method.listSessions, () => ({ nextPageToken: "same" })));
  await assert.rejects(authority.listSessions().next(), { code: "DATA_LOSS" });
});

test("a message of the contract may be given as such", async () => {
  const authority = clientOf((router) => router.rpc(TokenService.method.verifyToken, () => ({ active: true })));
  const request = create(TokenService.method.verifyToken.input, { token: "t" });
  assert.equal((await authority.tokens.verifyToken(request)).active, true);
});

/** The compiler refuses such slips too; each line is an error of the build if it does not. */
export function refusedByTheCompiler(authority: Authority): unknown[] {
  return [
    // @ts-expect-error misspelt option
    () => authority.createSession({ media_mode: MediaMode.ROUTED }),
    // @ts-expect-error the name of an enum's value
    () => authority.createSession({ mediaMode: "ROUTED" }),
    // @ts-expect-error misspelt requirement
    () => authority.verifyToken("t", { required_permissions: [] }),
    // @ts-expect-error misspelt field of a stub
    () => authority.tokens.verifyToken({ token: "t", session_id: "s" }),
  ];
}
