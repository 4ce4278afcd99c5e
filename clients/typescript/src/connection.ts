/** How a client reaches the authority: address, credentials, deadline; from options or from the environment. */
import { closeSync, openSync, readSync } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { createSecureContext } from "node:tls";

import type { Transport } from "@connectrpc/connect";

import { bool, bytes, checked, func, milliseconds, text } from "./checks.js";
import { AuthorityError } from "./errors.js";

/**
 * What a client may be given. It needs one of `apiKey`, `apiKeyFile`, `tokenFile` and `credentials`, a client
 * certificate, or both.
 */
export interface ConnectionOptions {
  /** `host:port`. */
  address: string;
  /** `tak_...`; every call sends it. */
  apiKey?: string;
  /** The file of the API key; read once. */
  apiKeyFile?: string;
  /** A file with the bearer credential, such as a JWT that Kubernetes renews; read again for each call, 8192 bytes at most. */
  tokenFile?: string;
  /** Returns the bearer credential; called for each call. */
  credentials?: () => string | Promise<string>;
  /** PEM file of a client certificate and its chain, with `keyFile`; read once. */
  certFile?: string;
  keyFile?: string;
  /** PEM file of the certificate authorities to trust; default: those of Node. */
  caFile?: string;
  /** PEM of the certificate authorities to trust, in place of `caFile`. */
  rootCertificates?: Uint8Array;
  /** No TLS, for loopback only: everybody on the network path can read the credential and the tokens. */
  plaintext?: boolean;
  /** The project of a call that names none; required if the caller may use several. */
  projectId?: string;
  /** How long a unary call may take, its retries included; default 5000. */
  timeoutMs?: number;
  /** Opens the connection; default: connect-es. `grpcJs` of `@tokenauthority/client/grpc-js` uses grpc-js. */
  transport?: OpenTransport;
}

/** A connection that calls go through, until it is closed. */
export interface OpenedTransport {
  readonly transport: Transport;
  close(): void;
}

/** Opens a connection; it connects with its first call. */
export type OpenTransport = (endpoint: Endpoint) => OpenedTransport;

/** Where the authority is, and the TLS to it. */
export interface Endpoint {
  readonly address: string;
  /** undefined for plaintext. */
  readonly tls: { readonly ca?: Buffer; readonly cert?: Buffer; readonly key?: Buffer } | undefined;
}

const MAX_TOKEN = 8192;
const MAX_FILE = 1 << 20;
const ADDRESS = /^(\[[0-9A-Fa-f:.]+\]|[^\s:/?#@[\]]+):\d{1,5}$/;
const HEADER_SAFE = "1 to 8192 characters of printable ASCII without spaces";
const CREDENTIAL = /^[\x21-\x7e]{1,8192}$/;
const FLAGS = new Map([..."1 true yes on t y".split(" ").map((word) => [word, true] as const),
  ...["", ..."0 false no off f n".split(" ")].map((word) => [word, false] as const)]);

/** The variable of each option. */
export const VARIABLES = {
  address: "TOKENAUTHORITY_ADDRESS", apiKey: "TOKENAUTHORITY_API_KEY", apiKeyFile: "TOKENAUTHORITY_API_KEY_FILE",
  tokenFile: "TOKENAUTHORITY_TOKEN_FILE", certFile: "TOKENAUTHORITY_CLIENT_CERT_FILE",
  keyFile: "TOKENAUTHORITY_CLIENT_KEY_FILE", caFile: "TOKENAUTHORITY_CA_FILE", plaintext: "TOKENAUTHORITY_PLAINTEXT",
  projectId: "TOKENAUTHORITY_PROJECT_ID", timeoutMs: "TOKENAUTHORITY_TIMEOUT",
} as const;

/** What an error calls an option. */
export type Names = Partial<Record<string, string>>;

/** Return the options that the variables describe; an empty one counts as not set. `connectionOf` checks them. */
export function optionsFrom(environment: Record<string, string | undefined>): ConnectionOptions {
  const found: Record<string, unknown> = {};
  for (const [option, variable] of Object.entries(VARIABLES)) if (environment[variable]) found[option] = environment[variable];
  if (found["plaintext"]) found["plaintext"] = FLAGS.get(String(found["plaintext"]).trim().toLowerCase());
  if ("plaintext" in found && found["plaintext"] === undefined)
    throw new Error(`${VARIABLES.plaintext} must be one of 1, true, yes, on, 0, false, no, off`);
  if (found["timeoutMs"]) found["timeoutMs"] = Number(found["timeoutMs"]) * 1000;
  if ("timeoutMs" in found && milliseconds(found["timeoutMs"]))
    throw new Error(`${VARIABLES.timeoutMs} must be a number of seconds above 0`);
  return { address: "", ...found };
}

/** What a client keeps of its options. */
export interface Connection {
  readonly endpoint: Endpoint;
  readonly timeoutMs: number;
  readonly projectId: string;
  /** Returns the bearer credential for one call; empty for none. */
  readonly bearer: () => Promise<string>;
}

/**
 * Check *options*, read the files of TLS, and return the connection; *names* are what an error calls the options.
 *
 * @throws TypeError or Error that names the option, and never quotes a credential.
 */
export function connectionOf(options: ConnectionOptions, names: Names = {}): Connection {
  const { address, apiKeyFile, tokenFile, credentials, certFile, keyFile, caFile, rootCertificates, plaintext, projectId, timeoutMs } =
    checked("the options of Authority", options, {
      address: text, apiKey: text, apiKeyFile: text, tokenFile: text, credentials: func, certFile: text, keyFile: text,
      caFile: text, rootCertificates: bytes, plaintext: bool, projectId: text, timeoutMs: milliseconds, transport: func,
    }, names);
  const nameOf = (option: keyof ConnectionOptions) => names[option] ?? option;
  const given = (...found: (keyof ConnectionOptions)[]) => found.filter((option) => options[option]).map(nameOf);
  const bearers = given("apiKey", "apiKeyFile", "tokenFile", "credentials");
  const roots = given("caFile", "rootCertificates");
  const certificates = [...roots, ...given("certFile", "keyFile")];
  if (!address) throw new TypeError(`${nameOf("address")} is not set`);
  if (!ADDRESS.test(address)) throw new TypeError(`${nameOf("address")} must be HOST:PORT, such as localhost:50051`);
  for (const several of [bearers, roots])
    if (several.length > 1) throw new TypeError(`${several.join(" and ")} are set: set only one of them`);
  if (!certFile !== !keyFile) throw new TypeError(`${nameOf("certFile")} and ${nameOf("keyFile")} go together: set both or neither`);
  if (bearers.length === 0 && !certFile)
    throw new TypeError(`no credentials: set ${nameOf("apiKey")}, ${nameOf("apiKeyFile")} or ${nameOf("tokenFile")}, ` +
      `or ${nameOf("certFile")} with ${nameOf("keyFile")}`);
  if (plaintext && certificates.length > 0)
    throw new TypeError(`${nameOf("plaintext")} does not go with ${certificates.join(" and ")}: they are for TLS`);
  const apiKey = apiKeyFile ? read(nameOf("apiKeyFile"), apiKeyFile).toString("latin1").trim() : options.apiKey;
  if (apiKeyFile && !CREDENTIAL.test(apiKey ?? "")) throw new TypeError(`${nameOf("apiKeyFile")}: the file must hold ${HEADER_SAFE}`);
  if (apiKey && !CREDENTIAL.test(apiKey)) throw new TypeError(`${nameOf("apiKey")} must be ${HEADER_SAFE}`);
  const ca = caFile ? read(nameOf("caFile"), caFile) : rootCertificates && Buffer.from(rootCertificates);
  if (ca && !ca.includes("-----BEGIN CERTIFICATE-----"))
    throw new Error(`${[...roots, ...(caFile ? [caFile] : [])].join(" ")}: holds no certificate in PEM`);
  const pair = certFile && keyFile ? { cert: read(nameOf("certFile"), certFile), key: read(nameOf("keyFile"), keyFile) } : {};
  try {
    createSecureContext(pair);
  } catch {
    throw new Error(`${nameOf("certFile")} and ${nameOf("keyFile")}: not a certificate and its private key in PEM, without a password`);
  }
  const bearer = async () => (tokenFile ? readToken(tokenFile) : credentials ? called(credentials) : (apiKey ?? ""));
  const tls = plaintext ? undefined : { ...(ca && { ca }), ...pair };
  return { endpoint: { address, tls }, timeoutMs: timeoutMs ?? 5000, projectId: projectId ?? "", bearer };
}

function read(name: string, path: string): Buffer {
  const file = openSync(path, "r");
  try {
    const content = Buffer.alloc(MAX_FILE + 1);
    let length = 0;
    for (let more = -1; more !== 0 && length < content.length; length += more)
      more = readSync(file, content, length, content.length - length, null);
    if (length > MAX_FILE) throw new Error(`${name} ${path}: has more than ${MAX_FILE} bytes`);
    return content.subarray(0, length);
  } finally {
    closeSync(file);
  }
}

async function readToken(path: string): Promise<string> {
  let content: string;
  try {
    const status = await stat(path);
    // Anything else could block, or have no end.
    if (!status.isFile() || status.size > MAX_TOKEN) throw new Error(`is no regular file of at most ${MAX_TOKEN} bytes`);
    content = (await readFile(path, "latin1")).trim();
  } catch (error) {
    throw new AuthorityError("UNAUTHENTICATED", `tokenFile ${path}: ${(error as Error).message}`);
  }
  if (CREDENTIAL.test(content)) return content;
  throw new AuthorityError("UNAUTHENTICATED", `tokenFile ${path}: the file must hold ${HEADER_SAFE}`);
}

async function called(credentials: () => string | Promise<string>): Promise<string> {
  let found: unknown;
  try {
    found = await credentials();
  } catch {
    throw new AuthorityError("UNAUTHENTICATED", "credentials() failed");
  }
  if (typeof found === "string" && CREDENTIAL.test(found)) return found;
  throw new AuthorityError("UNAUTHENTICATED", `credentials() must return ${HEADER_SAFE}`);
}
