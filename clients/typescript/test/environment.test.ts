/** The environment and the options say where the authority is, and nothing invalid passes. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { inspect } from "node:util";

import { Authority, AuthorityError } from "../src/index.js";
import { SessionService } from "../src/v1.js";
import { clientOf } from "./authority.js";

const directory = mkdtempSync(join(tmpdir(), "tokenauthority-"));
after(() => rmSync(directory, { recursive: true }));

function file(content: string): string {
  const path = join(directory, `file-${Math.random()}`);
  writeFileSync(path, content);
  return path;
}

const refused: [string, Record<string, string>, RegExp][] = [
  ["no address", { API_KEY: "tak_secret" }, /ADDRESS is not set/],
  ["an address without a port", { ADDRESS: "localhost", API_KEY: "tak_secret" }, /must be HOST:PORT/],
  ["an address with a scheme", { ADDRESS: "https://localhost:1", API_KEY: "tak_secret" }, /must be HOST:PORT/],
  ["no credentials", { ADDRESS: "localhost:1" }, /TOKENAUTHORITY_TOKEN_FILE/],
  ["two credentials", { ADDRESS: "localhost:1", API_KEY: "tak_secret", TOKEN_FILE: "x" }, /only one/],
  ["an API key with a space", { ADDRESS: "localhost:1", API_KEY: "tak_secret x" }, /API_KEY must be 1 to 8192/],
  ["a certificate without its key", { ADDRESS: "localhost:1", CLIENT_CERT_FILE: "x" }, /go together/],
  ["a flag that is none", { ADDRESS: "localhost:1", API_KEY: "tak_secret", PLAINTEXT: "maybe" }, /PLAINTEXT must be/],
  ["plaintext with a CA", { ADDRESS: "localhost:1", API_KEY: "tak_secret", PLAINTEXT: "1", CA_FILE: "x" }, /does not go with/],
  ["a timeout that is none", { ADDRESS: "localhost:1", API_KEY: "tak_secret", TIMEOUT: "5s" }, /TIMEOUT must be/],
  ["a timeout of nothing", { ADDRESS: "localhost:1", API_KEY: "tak_secret", TIMEOUT: "0" }, /TIMEOUT must be/],
  ["a CA that is none", { ADDRESS: "localhost:1", API_KEY: "tak_secret", CA_FILE: file("x") }, /no certificate/],
  ["a file of the key that is too long", { ADDRESS: "localhost:1", API_KEY_FILE: file("x".repeat((1 << 20) + 1)) }, /more than 1048576 bytes/],
];

function environment(variables: Record<string, string>): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(variables).map(([name, value]) => [`TOKENAUTHORITY_${name}`, value]));
}

for (const [what, variables, problem] of refused)
  test(`refuses ${what}, and does not show the API key`, () => {
    assert.throws(() => Authority.fromEnvironment({}, environment(variables)), (error: Error) => {
      assert.match(error.message, problem);
      assert.doesNotMatch(inspect(error), /tak_secret/);
      return true;
    });
  });

test("root certificates are bytes of PEM, in place of a file", () => {
  const options = { address: "localhost:1", apiKey: "tak_secret", rootCertificates: Buffer.from("x") };
  assert.throws(() => new Authority(options), /^Error: rootCertificates: holds no certificate in PEM/);
  assert.throws(() => new Authority({ ...options, caFile: "x" }), /caFile and rootCertificates are set/);
});

test("an option that does not exist is refused", () => {
  const misspelt = { address: "localhost:1", apiKey: "tak_secret", plainText: true };
  assert.throws(() => new Authority(misspelt), /no property plainText/);
});

test("a client does not show its API key", () => {
  const authority = new Authority({ address: "localhost:1", apiKey: "tak_secret" });
  assert.doesNotMatch(inspect(authority, { depth: 9 }), /tak_secret/);
});

async function presented(options: Parameters<typeof clientOf>[1]): Promise<string | null> {
  let found: string | null = null;
  const authority = clientOf((router) => router.rpc(SessionService.method.getSession, (_, { requestHeader }) => {
    found = requestHeader.get("authorization");
    return { session: {} };
  }), { apiKey: "", ...options });
  await authority.getSession("s");
  return found;
}

test("the file of the API key is read without white space", async () => {
  const variables = environment({ ADDRESS: "localhost:1", API_KEY_FILE: file(" tak_file\n") });
  assert.ok(Authority.fromEnvironment({}, variables));
});

test("a token file is read again for each call", async () => {
  const tokenFile = file("first\n");
  assert.equal(await presented({ tokenFile }), "Bearer first");
  writeFileSync(tokenFile, "second\n");
  assert.equal(await presented({ tokenFile }), "Bearer second");
});

test("a function gives the credential of each call", async () => {
  assert.equal(await presented({ credentials: async () => "jwt" }), "Bearer jwt");
});

const unusable: [string, Parameters<typeof clientOf>[1]][] = [
  ["no file", { tokenFile: join(directory, "none") }],
  ["a directory", { tokenFile: directory }],
  ["a file of 8193 bytes", { tokenFile: file("x".repeat(8193)) }],
  ["a function that fails", { credentials: () => { throw new Error("tak_secret"); } }],
  ["a function that returns two lines", { credentials: () => "tak_secret\nx" }],
];
for (const [what, options] of unusable)
  test(`${what} gives no credential: the call is UNAUTHENTICATED and nothing is sent`, async () => {
    await assert.rejects(presented(options), (error: AuthorityError) => {
      assert.equal(error.code, "UNAUTHENTICATED");
      assert.doesNotMatch(inspect(error), /tak_secret/);
      return true;
    });
  });

test("a function that never returns ends with the deadline", async () => {
  const never = presented({ credentials: () => new Promise(() => {}), timeoutMs: 10 });
  await assert.rejects(never, { code: "DEADLINE_EXCEEDED" });
});
