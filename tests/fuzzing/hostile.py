"""Values that have broken parsers, and those that lie on one side or the other of a rule."""

from __future__ import annotations

import json

from itertools import chain
from random import Random
from typing import Final

from tests.authority.world import ISSUER
from tests.fuzzing.target import (
    APPLICATION,
    APPLICATION_ID,
    ELSEWHERE,
    ENDED,
    FOREIGN,
    LIVE,
    OWN,
    PLATFORM,
    REVOKED,
    RING,
    SECOND,
    SECRETS,
    STRANGER,
    secret_id,
)
from tokenauthority.domain.role import BUILT_IN_ROLES, Permission
from tokenauthority.domain.token import MAX_TOKEN


SESSION_IDS: Final = [
    *[session.session_id for session in (*LIVE.values(), *ENDED.values(), *REVOKED.values())],
    *ELSEWHERE.values(),
    "",
    "nonsense",
    "2_",
    "1_====",
    "2_\u00e9",
    "2_" + "A" * 252,
    "2_" + "A" * 253,
    "x" * 255,
    "x" * 256,
    "\x00",
]
MOMENTS: Final = [
    *[SECOND + delta for delta in (-2_592_031, -2_592_030, -2_592_029, -86_431, -86_430, -86_429)],
    *[SECOND + delta for delta in (-3600, -31, -30, -29, -1, 0, 1, 29, 30, 31, 3600, 2_592_000)],
    *[SECOND + 30.999, SECOND - 29.001, 0, 0.5, 1, 2**31, 2**53 - 1, 2**53, 253_402_300_799, 253_402_300_800],
]
_PROJECTS: Final = [OWN, APPLICATION, PLATFORM, FOREIGN, "47000009", "0", "047000001", "2147483648", "47000001 ", ""]

_GRANTS: Final[list[object]] = [
    None,
    [],
    {},
    *[
        {"roomJoin": True, "room": session_id, **flags}
        for session_id in SESSION_IDS
        for flags in ({}, {"canPublish": False}, {"CanPublish": False}, {"roomAdmin": True}, {"canSubscribe": "no"})
    ],
    {"roomJoin": "true", "room": SESSION_IDS[0]},
]

CLAIMS: Final[dict[str, list[object]]] = {
    "session_id": [*SESSION_IDS, *[session.session_id for session in (*ENDED.values(), *REVOKED.values())] * 3],
    "iat": list(MOMENTS),
    "exp": list(MOMENTS),
    "nbf": list(MOMENTS),
    "create_time": list(MOMENTS),
    "expire_time": list(MOMENTS),
    "iss": [
        *map(secret_id, chain(*SECRETS.values())),
        *_PROJECTS,
        47_000_001,
        47_000_002,
        True,
        ISSUER,
        ISSUER + "/",
        "https://elsewhere",
    ],
    "aud": [*_PROJECTS, [OWN], [OWN, FOREIGN], 47_000_001],
    "partner_id": list(_PROJECTS),
    "application_id": [APPLICATION_ID, APPLICATION_ID.upper(), "00000000-0000-4000-8000-000000000000", OWN, ""],
    "role": [*BUILT_IN_ROLES, "cameraman", "Publisher", "a" * 63, "a" * 64, "", 7],
    "permissions": [[], *[[name] for name in Permission], list(Permission), ["publish", "publish"], ["fly"], "publish"],
    "scope": ["session.connect", "session.connect ", "", None],
    "ist": ["project", "account", 1],
    "jti": ["a", "a" * 255, "a" * 256, "", 7],
    "kid": [*[key.key_id for key in RING.values()], STRANGER.key_id, "", "../../x", "' OR 1=1 --", "a" * 255, 1],
    "typ": ["session+jwt", "JWT", "jwt", "at+jwt", "", None],
    "alg": ["none", "noNE", "HS256", "ES256", "RS256", "EdDSA", "HS512", "PS256", "", None, ["HS256"]],
    "crit": [["exp"], [], ["b64"]],
    "b64": [False, True],
    "zip": ["DEF"],
    "enc": ["A128GCM"],
    "jku": ["http://127.0.0.1:9/"],
    "jwk": [STRANGER.public.jwk],
    "sub": ["video", "somebody", "", "x" * 256],
    "subject": ["video", "other"],
    "acl": [{"paths": {"/session/**": {}}}, {"paths": {}}, {}, [], "x"],
    "nonce": [0.5, "", -1, None],
    "connection_data": ["", "x" * 1001, "\x00", 7, "😀" * 500],
    "initial_layout_class_list": ["", "a b", ["a", "b"], [1], {}, "a%2Bb"],
    "data": ["x", 7],
    "room": [*SESSION_IDS, "standup", "*", "", 7],
    "video": _GRANTS,
    "context": [None, [], {"user": None}, *[{"user": {"moderator": value}} for value in (True, "true", 1, None)]],
    "metadata": ["x", None, {}],
}
"""What a claim or header parameter may say, rightly or wrongly."""

RAW: Final[list[bytes]] = [
    *[b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1e999", b"1e308", b"-0", b"-0.0", b"-1", b"01", b"1.", b".5"],
    *[b"+1", b"0x10", b"1_000", b"9" * 31, b"9" * 32, b"9" * 33, b"9" * 5000, b"1" + b"0" * 4300, b"0." + b"1" * 400],
    *[b"true", b"false", b"null", b"True", b"undefined", b"", b" ", b'""', b'"', b'"\\"', b'"\\u"', b'"\\x41"'],
    *[b'"\\ud800"', b'"\\udc00\\ud800"', b'"\\ud83d\\ude00"', b'"\\u0000"', b'"\x00"', b'"\n"', b'"\x7f"'],
    *[
        b'"\xff"',
        b'"\xc0\x80"',
        b'"\xed\xa0\x80"',
        b'"\xf4\x90\x80\x80"',
        b'"\xe2\x80"',
        b'"\xef\xbb\xbf"',
        b"\xfe\xff",
    ],
    *[
        b"[]",
        b"{}",
        b"[[]]",
        b'{"":{}}',
        b'{"a":1,"a":2}',
        b'{"a":1,"\\u0061":2}',
        b"[1,]",
        b'{"a":1,}',
        b"[",
        b"{",
        b"]",
    ],
    *[b"[" * 15 + b"]" * 15, b"[" * 16 + b"]" * 16, b"[" * 1100 + b"]" * 1100, b'{"a":' * 900 + b"1" + b"}" * 900],
    *[b'"' + b"x" * 3000 + b'"', b'"' + "😀".encode() * 700 + b'"', b"[" + b"1," * 3000 + b"1]", b"/**/1", b"1//"],
]
"""What stands in the place of a value, JSON or not."""

ESCAPED: Final[list[bytes]] = [
    *[
        b"%",
        b"%%",
        b"%2",
        b"%zz",
        b"%00",
        b"%ff",
        b"%C0%80",
        b"%ED%A0%80",
        b"%F0%9F%98%80",
        b"+",
        b"%2B",
        b"%26",
        b"%3D",
    ],
    *[b"", b" ", b"=", b"a=b", b":", b"\x00", b"\xff", b"\n", b";", b"x" * 3000, b"%41" * 1000, b"-1", b"1e9", b"1.5"],
    *[b"9" * 16, b"9" * 17, b"1." + b"1" * 20, b"1." + b"1" * 21, "١٢٣".encode(), b"NaN"],
]
"""What stands in the place of a field of a T1 token."""


def json_value(rng: Random, depth: int = 3) -> bytes:
    """Any JSON, or nearly."""
    kind = rng.randrange(8 if depth else 6)
    if kind < 3:
        return rng.choice(RAW)
    if kind < 6:
        return json.dumps(rng.choice(rng.choice(list(CLAIMS.values())))).encode()
    inner = [json_value(rng, depth - 1) for _ in range(rng.randrange(4))]
    if kind == 6:
        return b"[" + b",".join(inner) + b"]"
    return b"{" + b",".join(b'"%d":' % n + value for n, value in enumerate(inner)) + b"}"


HEAVY: Final[list[str]] = [
    "[",
    "{",
    '{"a":',
    "[[],",
    '"',
    "\\",
    '"\\u0000',
    '{"a":{"a":1},',
    "1",
    "-",
    "0.1,",
    '{"x":1,"x":2},',
    "😀",
    "\u00ff",
    " ",
    "&",
    "=",
    "%",
    "%41",
    "a=b&",
    ":",
    "+",
    "true,",
]
"""What is written over and over until a token is as long as can be."""

ITEMS: Final = [b"[],", b"{},", b'{"":0},', b"[[[[[]]]]],", b"1,", b"1e9,", b'"",', b"true,"]
"""What a list has very many of."""

LENGTHS: Final = [100, 1000, MAX_TOKEN // 2, MAX_TOKEN * 3 // 4 - 300, MAX_TOKEN, MAX_TOKEN + 1, MAX_TOKEN * 2]
