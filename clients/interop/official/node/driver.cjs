// Does with the official Node SDK what each line of standard input asks for; README.md has the protocol.
// It is started in the directory that has the SDK in its node_modules.
"use strict";
const readline = require("node:readline");
const { createRequire } = require("node:module");
const OpenTok = createRequire(`${process.cwd()}/`)("opentok");

const { OPENTOK_API_KEY, OPENTOK_API_SECRET, OPENTOK_API_URL } = process.env;
const client = new OpenTok(OPENTOK_API_KEY, OPENTOK_API_SECRET, OPENTOK_API_URL);
const NAMES = {
  media_mode: "mediaMode",
  archive_mode: "archiveMode",
  archive_name: "archiveName",
  archive_resolution: "archiveResolution",
  expire_time: "expireTime",
  initial_layout_class_list: "initialLayoutClassList",
};
const inCamelCase = (options) =>
  Object.fromEntries(Object.entries(options).map(([name, value]) => [NAMES[name] ?? name, value]));
// The SDK may call back twice: a promise takes the first.
const asPromise = (start) =>
  new Promise((resolve, reject) => start((error, result) => (error ? reject(error) : resolve(result))));

const CALLS = {
  signal: (id, done) => client.signal(id, null, { type: "chat", data: "hi" }, done),
  disconnect: (id, done) => client.forceDisconnect(id, "connection", done),
  mute: (id, done) => client.forceMuteStream(id, "stream", done),
  mute_all: (id, done) => client.forceMuteAll(id, [], done),
  archive: (id, done) => client.startArchive(id, {}, done),
};
const OPERATIONS = {
  create: async ({ options }) => {
    const session = await asPromise((done) => client.createSession(inCamelCase(options), done));
    return { session_id: session.sessionId };
  },
  token: async ({ session_id, legacy, options }) => ({
    token: client.generateToken(session_id, inCamelCase(options), legacy),
  }),
  call: async ({ what, session_id }) => {
    await asPromise((done) => CALLS[what](session_id, done));
    return {};
  },
};

(async () => {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const request = JSON.parse(line);
    let answer;
    try {
      answer = { ok: await OPERATIONS[request.op](request) };
    } catch (error) {
      answer = { error: { code: error.name ?? "Error", message: String(error.message ?? error) } };
    }
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  }
})();
