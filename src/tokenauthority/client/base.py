"""What the blocking and the asyncio client share: how they are made and what they show of themselves."""

from __future__ import annotations

import os

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from tokenauthority.client.connection import DEFAULT_TIMEOUT, Connection
from tokenauthority.client.environment import connection_from


if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self


class AuthorityBase(ABC):
    """A client of one authority with one API key. Its `repr` does not show the key."""

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
            address: `host:port`, or a gRPC target URI.
            api_key: `tak_...`; sent with every call.
            project_id: the project meant where a call names none; needed where the key may use several.
            plaintext: no TLS. Everybody on the way can read the key and the tokens: for loopback only.
            root_certificates: PEM of the authorities to trust; None for the system's.
            timeout: seconds that each call may take, its retries included.
            tls_server_name: the name that the server's certificate must have, where it is not the address's.

        Raises:
            ValueError: a value cannot be used; the message never holds the key.
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
        """A client of the authority that the environment names.

        TOKENAUTHORITY_ADDRESS is required, and one of TOKENAUTHORITY_API_KEY and TOKENAUTHORITY_API_KEY_FILE;
        TOKENAUTHORITY_PROJECT_ID, TOKENAUTHORITY_CA_FILE (PEM), TOKENAUTHORITY_PLAINTEXT ("1") and
        TOKENAUTHORITY_TIMEOUT (seconds; default 5) are read where they are set.

        Raises:
            ValueError: a required variable is missing or one has a bad value.
            OSError: the file of the API key or of root certificates cannot be read.
        """
        return cls.from_connection(connection_from(environ))

    @classmethod
    def from_connection(cls, connection: Connection) -> Self:
        """A client over *connection*. Raises ValueError where that has no API key."""
        return cls(
            connection.address,
            api_key=connection.api_key,
            project_id=connection.project_id,
            plaintext=connection.plaintext,
            root_certificates=connection.root_certificates,
            timeout=connection.timeout,
            tls_server_name=connection.tls_server_name,
        )

    @property
    def address(self) -> str:
        """Where the authority is."""
        return self._connection.address

    @property
    def project_id(self) -> str:
        """The project meant where a call names none; empty where the API key has only one."""
        return self._connection.project_id

    def __repr__(self) -> str:
        """Where the authority is, without the key."""
        return f"{type(self).__name__}({self.address!r}, project_id={self.project_id!r})"

    @abstractmethod
    def _open(self, connection: Connection) -> None:
        """Open the channel and its stubs."""
