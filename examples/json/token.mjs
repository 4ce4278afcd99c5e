// Make a session and a token with fetch alone, as an edge function does.

class AuthorityError extends Error {
  constructor(status, error, retryAfter) {
    super(`${error.code}: ${error.message}`);
    this.status = status;
    this.code = error.code;
    this.details = error.details ?? [];
    this.reason = this.details.find((detail) => detail.type === "google.rpc.ErrorInfo")?.debug?.reason ?? "";
    this.retryAfter = retryAfter === null ? null : Number(retryAfter);
  }
}

async function call(environment, method, request) {
  const answer = await fetch(`${environment.AUTHORITY_URL}/tokenauthority.v1.${method}`, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      authorization: `Bearer ${environment.TOKENAUTHORITY_API_KEY}`,
      "connect-timeout-ms": "5000",
    },
    body: JSON.stringify(request),
    signal: AbortSignal.timeout(5500),
  });
  const found = await answer.json();
  if (!answer.ok) throw new AuthorityError(answer.status, found, answer.headers.get("retry-after"));
  return found;
}

async function makeToken(environment) {
  const { session } = await call(environment, "SessionService/CreateSession", {
    projectId: environment.TOKENAUTHORITY_PROJECT_ID,
    mediaMode: "MEDIA_MODE_ROUTED",
    requestId: crypto.randomUUID(),
  });
  const { token } = await call(environment, "TokenService/GenerateToken", {
    request: { sessionId: session.sessionId, role: "publisher", data: "username=bob", ttl: "3600s" },
  });
  return token.token;
}

console.log(await makeToken(process.env));
try {
  await call(process.env, "TokenService/GenerateToken", { request: { rolle: "publisher" } });
} catch (error) {
  console.log(error.status, error.reason, error.message);
}
