/** A watch goes on where it was, and ends only by its signal or an error that another attempt would meet too. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";

import { AuthorityError } from "../src/index.js";
import { TokenService, WatchRevocationsResponseSchema } from "../src/v1.js";
import { watch } from "../src/watch.js";
import { clientOf } from "./authority.js";

type Message = MessageInitShape<typeof WatchRevocationsResponseSchema>;

const message = (resumeToken: string): Message => ({ resumeToken, event: { case: "heartbeat", value: {} } });

/** A client whose n-th stream sends the n-th messages, and then fails with the n-th status. */
function watched(streams: { messages: Message[]; code?: Code }[], projectId = "") {
  const asked: { resumeToken: string; projectIds: string[] }[] = [];
  const authority = clientOf((router) => router.rpc(TokenService.method.watchRevocations, async function* (request) {
    const { messages, code } = streams[asked.length] ?? { messages: [], code: Code.PermissionDenied };
    asked.push(request);
    yield* messages;
    if (code) throw new ConnectError("lost", code);
  }), { projectId });
  return { authority, asked };
}

for (const code of [undefined, Code.Unavailable, Code.Canceled, Code.ResourceExhausted, Code.Internal])
  test(`a stream that ends with ${code ? Code[code] : "no error"} is resumed after its last message`, async () => {
    const { authority, asked } = watched([{ messages: [message("1"), message("2")], ...(code && { code }) }, { messages: [message("3")] }], "47");
    const lost: string[] = [];
    const tokens: string[] = [];
    for await (const { resumeToken } of authority.watchRevocations({ resumeToken: "0", onLost: (error) => lost.push(error.code) })) {
      tokens.push(resumeToken);
      if (resumeToken === "3") break;
    }
    assert.deepEqual(tokens, ["1", "2", "3"]);
    assert.deepEqual(asked.map((request) => request.resumeToken), ["0", "2"]);
    assert.deepEqual(asked[0]?.projectIds, ["47"]);
    assert.equal(lost.length, 1);
  });

test("an error that another attempt would meet too ends the watch", async () => {
  const { authority, asked } = watched([]);
  await assert.rejects(authority.watchRevocations().next(), { code: "PERMISSION_DENIED" });
  assert.equal(asked.length, 1);
});

const unknown: [string, Message][] = [
  ["an event of a newer contract", { resumeToken: "1" }],
  ["a revocation with a target of a newer contract", { event: { case: "revocation", value: {} } }],
];
for (const [what, newer] of unknown)
  test(`${what} is an error, and is not skipped`, async () => {
    const { authority } = watched([{ messages: [newer, message("2")] }]);
    await assert.rejects(authority.watchRevocations().next(), { code: "UNIMPLEMENTED" });
  });

test("a signal ends the watch without an error", async () => {
  const end = new AbortController();
  const { authority } = watched([{ messages: [message("1")], code: Code.Unavailable }]);
  const tokens: string[] = [];
  for await (const { resumeToken } of authority.watchRevocations({ signal: end.signal, onLost: () => end.abort() }))
    tokens.push(resumeToken);
  assert.deepEqual(tokens, ["1"]);
});

test("a silent stream is opened again", async () => {
  let opened = 0;
  const messages = watch(async function* (_, signal) {
    opened += 1;
    if (opened === 1) {
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
      throw new AuthorityError("UNAVAILABLE", "silent");
    }
    yield create(WatchRevocationsResponseSchema, message("1"));
  }, "", {}, 5);
  assert.equal((await messages.next()).value?.resumeToken, "1");
  await messages.return();
  assert.equal(opened, 2);
});
