"""`make chaos`: real servers under load while what surrounds them fails, and an oracle that judges every answer."""

from __future__ import annotations

import os


# The callers go on while this process starts others: gRPC's handlers around a fork would hold their calls up. gRPC
# reads this when it is imported.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
