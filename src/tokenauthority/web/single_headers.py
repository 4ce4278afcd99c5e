"""Refuse a request that has a header twice, of which two readers could take another one."""

from __future__ import annotations

from starlette.datastructures import Headers

from tokenauthority.domain.errors import FieldViolation, InvalidRequestError


def require_single(headers: Headers, *names: str) -> None:
    """Require that none of *names* is there more than once; raise InvalidRequestError, which names them."""
    repeated = [name for name in names if len(headers.getlist(name)) > 1]
    if repeated:
        raise InvalidRequestError([FieldViolation(name, "must not be there more than once") for name in repeated])
