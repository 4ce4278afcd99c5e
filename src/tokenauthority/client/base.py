"""Make a client: from arguments, from the environment or from a connection."""

from __future__ import annotations

import os

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Self, Unpack

from tokenauthority.client.arguments import instance
from tokenauthority.client.connection import Connection, ConnectionOptions
from tokenauthority.client.environment import connection_from


class AuthorityBase(ABC):
    """A client of one authority as one caller; see `Authority` and `AsyncAuthority`."""

    def __init__(self, address: str, **options: Unpack[ConnectionOptions]) -> None:
        """Make a client; it connects with its first call.

        Args:
            address: `host:port`, or a gRPC target URI such as `dns:///name:port`.
            **options: see `ConnectionOptions`. They prove who the client is by one of `api_key`, `token_file` and
                `credentials`, by a client certificate, or by both.

        Raises:
            ValueError: a value is invalid, or no credentials are given, or more than one of the three that exclude each
                other. The message never holds the API key.
            OSError: `cert_file` or `key_file` cannot be read.
            TypeError: a value has the wrong type; the message names it.
            RuntimeError: it is an asyncio client, and no event loop runs.
        """
        self._connection = Connection(address=address, **options)
        if not self._connection.proves_caller:
            raise ValueError("no credentials: set api_key, token_file or credentials, or cert_file with key_file")
        self._open(self._connection)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Make a client from environment variables.

        Required: TOKENAUTHORITY_ADDRESS, and one of TOKENAUTHORITY_API_KEY, TOKENAUTHORITY_API_KEY_FILE (read once) and
        TOKENAUTHORITY_TOKEN_FILE (read for each call); or a client certificate, also beside one of them, by
        TOKENAUTHORITY_CLIENT_CERT_FILE and TOKENAUTHORITY_CLIENT_KEY_FILE (PEM). Optional: TOKENAUTHORITY_PROJECT_ID,
        TOKENAUTHORITY_CA_FILE (PEM), TOKENAUTHORITY_PLAINTEXT ("1") and TOKENAUTHORITY_TIMEOUT (seconds; default 5).

        Args:
            environ: the variables.

        Raises:
            ValueError: a required variable is missing, or a value is invalid.
            OSError: the file of the API key, or one with certificates, cannot be read.
        """
        return cls.from_connection(connection_from(environ))

    @classmethod
    def from_connection(cls, connection: Connection) -> Self:
        """Make a client from a `Connection`.

        Raises:
            ValueError: the connection has no credentials.
        """
        return cls(**vars(instance("connection", connection, Connection)))

    @property
    def address(self) -> str:
        """The address of the authority."""
        return self._connection.address

    @property
    def project_id(self) -> str:
        """The project of a call that names none; empty for the only project of the caller."""
        return self._connection.project_id

    def __repr__(self) -> str:
        """Show the address and the project, without the API key."""
        return f"{type(self).__name__}({self.address!r}, project_id={self.project_id!r})"

    @abstractmethod
    def _open(self, connection: Connection) -> None:
        """Open the channel and its stubs."""
