"""The gRPC context as servicers take it and never use it: the caller and the record are in `tokenauthority.context`."""

from __future__ import annotations

from typing import TypeAlias

import grpc


Context: TypeAlias = grpc.ServicerContext
