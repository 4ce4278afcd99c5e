// Verifies tokens, one a line, with nothing but their issuer and audience; answers each with a line of JSON.
// The third argument, if there is one, is how long in milliseconds an unknown key waits for the next fetch.
import { createInterface } from "node:readline";
import { calculateJwkThumbprint, createRemoteJWKSet, jwtVerify } from "jose";

const [issuer, audience, cooldownDuration] = process.argv.slice(2);
const discovered = await fetch(`${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`);
const configuration = await discovered.json();
if (configuration.issuer !== issuer) throw new Error(`the issuer calls itself ${configuration.issuer}`);
const keys = createRemoteJWKSet(
  new URL(configuration.jwks_uri),
  cooldownDuration === undefined ? {} : { cooldownDuration: Number(cooldownDuration) },
);

async function verify(token) {
  try {
    const { payload, protectedHeader } = await jwtVerify(token, keys, {
      issuer,
      audience,
      typ: "session+jwt",
      algorithms: configuration.id_token_signing_alg_values_supported,
      requiredClaims: ["exp"],
    });
    const used = keys.jwks().keys.find(({ kid }) => kid === protectedHeader.kid);
    if (await calculateJwkThumbprint(used) !== used.kid) throw new Error("the key is named otherwise");
    return { claims: payload };
  } catch (error) {
    return { error: [error.code ?? error.message, error.claim].filter(Boolean).join(" ") };
  }
}

for await (const token of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(await verify(token))}\n`);
}
