// From nothing to a token: make run; source .tokenauthority/dev.env; node dist/examples/quickstart.js
import { Authority, AuthorityError, MediaMode, Permission } from "@tokenauthority/client";

const authority = Authority.fromEnvironment();
try {
  const session = await authority.createSession({ mediaMode: MediaMode.ROUTED });
  const { token } = await session.generateToken({ role: "publisher", data: "username=bob", ttl: 3600 });
  console.log(token);

  const { active } = await authority.verifyToken(token, {
    sessionId: session.sessionId,
    requiredPermissions: [Permission.PUBLISH],
  });
  console.log("active", active);
} catch (error) {
  if (!(error instanceof AuthorityError)) throw error;
  console.error(error.code, error.reason, error.violations);
  process.exitCode = 1;
} finally {
  authority.close();
}
