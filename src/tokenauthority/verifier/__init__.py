"""The offline verifier: checks a SESSION_JWT without a call to the authority for each.

    with Verifier.from_environment(project_ids=["47000000"], max_staleness=30) as verifier:
        verdict = verifier.verify(token, session_id=session_id, required_permissions=["publish"])
        if not verdict:
            refuse(verdict.reason)

Background threads cache the authority's public keys and all revocations in force; `verify` is plain CPU work of a
fraction of a millisecond. It needs the extra `verifier` of the package; see docs/how-to/verify-offline.md.
"""

from __future__ import annotations

from tokenauthority.client.connection import Connection


try:
    from tokenauthority.verifier.settings import VerifierOptions
    from tokenauthority.verifier.state import NotSyncedError
    from tokenauthority.verifier.values import STALE, Status, Verdict
    from tokenauthority.verifier.verifier import Verifier
except ModuleNotFoundError as error:
    if (error.name or "").startswith("tokenauthority"):
        raise
    raise ModuleNotFoundError(
        f"the verifier needs {error.name}: pip install 'tokenauthority[verifier]'", name=error.name
    ) from error


__all__ = ["STALE", "Connection", "NotSyncedError", "Status", "Verdict", "Verifier", "VerifierOptions"]
