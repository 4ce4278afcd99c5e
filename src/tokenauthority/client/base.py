"""Make a client: from arguments, from the environment or from a connection."""

from __future__ import annotations

import os

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Self

from tokenauthority.client.connection import DEFAULT_TIMEOUT, Connection
from tokenauthority.client.environment import connection_from


class AuthorityBase(ABC):
    """A client of one authority with one API key; see `Authority` and `AsyncAuthority`."""

    def __init__(
        self,
        address: str,
        *,
        api_key: str,
        project_id: str = "",
        plaintext: bool = False,
        root_certificates: bytes | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        tls_server_name: str = "",
    ) -> None:
        """Make a client; it connects with its first call.

        Args:
            address: `host:port`, or a gRPC target URI such as `dns:///name:port`.
            api_key: `tak_...`; every call sends it.
            project_id: the project of a call that names none; required if the API key may use several projects.
            plaintext: no TLS, for loopback only: everybody on the network path can read the API key and the tokens.
            root_certificates: PEM of the certificate authorities to trust; None for the system's.
            timeout: seconds that a call may take, its retries included; default 5. It does not limit a watch.
            tls_server_name: the name that the server's certificate must have; empty for the host of the address.

        Raises:
            ValueError: a value is invalid. The message never holds the API key.
        """
        if not api_key:
            raise ValueError("api_key is required")
        self._connection = Connection(
            address=address,
            api_key=api_key,
            project_id=project_id,
            plaintext=plaintext,
            root_certificates=root_certificates,
            timeout=timeout,
            tls_server_name=tls_server_name,
        )
        self._open(self._connection)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Make a client from environment variables.

        Required: TOKENAUTHORITY_ADDRESS, and either TOKENAUTHORITY_API_KEY or TOKENAUTHORITY_API_KEY_FILE. Optional:
        TOKENAUTHORITY_PROJECT_ID, TOKENAUTHORITY_CA_FILE (PEM), TOKENAUTHORITY_PLAINTEXT ("1") and
        TOKENAUTHORITY_TIMEOUT (seconds; default 5).

        Args:
            environ: the variables.

        Raises:
            ValueError: a required variable is missing, or a value is invalid.
            OSError: the file of the API key or of the root certificates cannot be read.
        """
        return cls.from_connection(connection_from(environ))

    @classmethod
    def from_connection(cls, connection: Connection) -> Self:
        """Make a client from a `Connection`.

        Raises:
            ValueError: the connection has no API key.
        """
        return cls(**vars(connection))

    @property
    def address(self) -> str:
        """The address of the authority."""
        return self._connection.address

    @property
    def project_id(self) -> str:
        """The project of a call that names none; empty for the only project of the API key."""
        return self._connection.project_id

    def __repr__(self) -> str:
        """Show the address and the project, without the API key."""
        return f"{type(self).__name__}({self.address!r}, project_id={self.project_id!r})"

    @abstractmethod
    def _open(self, connection: Connection) -> None:
        """Open the channel and its stubs."""
