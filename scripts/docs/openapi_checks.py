"""What the OpenAPI document says of the checks of proxies and media servers, which are no RPCs of the contract."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

from tokenauthority.domain.ids import MAX_SESSION_ID
from tokenauthority.domain.role import Permission
from tokenauthority.domain.token import InactiveReason
from tokenauthority.web.mediamtx import MAX_BODY


_Json: TypeAlias = "dict[str, Any]"

CHECK_SECURITY: Final[_Json] = {
    "asker": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Api-Key",
        "description": "An API key of a proxy, or a JWT of an issuer. The bearer is the end user's.",
    },
    "askerAsUser": {"type": "http", "scheme": "basic", "description": "The API key as the password, with any user."},
}
CHECK_SCHEMAS: Final[_Json] = {
    "Refusal": {
        "type": "object",
        "description": "Why the end user is not let in.",
        "required": ["reason", "message"],
        "additionalProperties": False,
        "properties": {
            "reason": {
                "type": "string",
                "description": "As VerifyToken's.",
                "enum": [reason.value for reason in InactiveReason],
            },
            "message": {"type": "string", "description": "For a person. It can change."},
        },
    },
    "MediamtxQuestion": {
        "type": "object",
        "description": f"What MediaMTX sends, in at most {MAX_BODY} bytes. It has more members, which are passed over.",
        "required": ["action", "path"],
        "properties": {
            "action": {"type": "string", "enum": ["publish", "read", "playback"], "description": "What for."},
            "path": {"type": "string", "minLength": 1, "description": "The session's name or id."},
            "token": {"type": "string", "description": "The end user's token."},
            "password": {"type": "string", "description": "The token, if `token` is empty."},
            "query": {
                "type": "string",
                "description": "Has the token as `jwt` or `token`, if `password` is empty too.",
            },
        },
    },
}


def _content(schema: str) -> _Json:
    return {"content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}}


_RESPONSES: Final[_Json] = {
    "204": {"description": "The token is valid for the session and the permission."},
    "401": {"description": "There is no token, or the token is not valid.", **_content("Refusal")},
    "403": {"description": "The token is for another session, or lacks the permission.", **_content("Refusal")},
    "400": {"description": "The question, or the asker's credential or grant, is not valid.", **_content("Error")},
    "429": {"description": "The asker is beyond its rate or quota.", **_content("Error")},
    "503": {"description": "There is no answer now.", **_content("Error")},
}
CHECK_PATHS: Final[_Json] = {
    "/check": {
        "get": {
            "operationId": "check",
            "tags": ["Check"],
            "description": "Says whether the bearer has a valid token for a session and a permission. "
            "Action: `tokens.verify`.",
            "security": [{"asker": [], "bearer": []}],
            "parameters": [
                {
                    "name": "session_id",
                    "in": "query",
                    "required": True,
                    "description": f"The session's id or name. More than {MAX_SESSION_ID} characters are no session's.",
                    "schema": {"type": "string", "minLength": 1},
                },
                {
                    "name": "permission",
                    "in": "query",
                    "required": True,
                    "description": "What the end user wants to do.",
                    "schema": {"type": "string", "enum": [permission.value for permission in Permission]},
                },
            ],
            "responses": _RESPONSES,
        }
    },
    "/check/mediamtx": {
        "post": {
            "operationId": "checkMediamtx",
            "tags": ["Check"],
            "description": "Says the same to MediaMTX, as its `authHTTPAddress`. Action: `tokens.verify`.",
            "security": [{"askerAsUser": []}, {"asker": []}, {"bearer": []}],
            "requestBody": {"required": True, **_content("MediamtxQuestion")},
            "responses": _RESPONSES,
        }
    },
}
