"""Cases from seeds: a seed makes the same case each time."""

from __future__ import annotations

import base64
import json

from collections.abc import Callable, Mapping
from random import Random
from typing import Final

import attrs

from tests.fuzzing import hostile, tokens
from tests.fuzzing.target import RING, SECRETS, STRANGER, sign_hs256, sign_rs256, sign_with
from tests.fuzzing.tokens import T1, Jwt, Members
from tokenauthority.domain.role import Permission


@attrs.frozen(kw_only=True)
class Case:
    """One question to VerifyToken. `valid` says that the answer has to be that the token is valid."""

    seed: int
    kind: str
    token: str
    session_id: str = ""
    required: tuple[Permission, ...] = ()
    valid: bool = False


def make_case(seed: int) -> Case:
    """The case of *seed*."""
    rng = Random(seed)
    kind = rng.choices(list(_KINDS), list(_WEIGHTS))[0]
    if kind == "valid":
        made, session_id = tokens.valid(rng)
        return Case(seed=seed, kind=kind, token=made.write(), session_id=rng.choice(["", session_id]), valid=True)
    return Case(seed=seed, kind=kind, token=_KINDS[kind](rng), session_id=_asked(rng), required=tuple(_required(rng)))


def _asked(rng: Random) -> str:
    if rng.random() < 0.7:
        return ""
    return _noise(rng, 40) if rng.random() < 0.1 else rng.choice(hostile.SESSION_IDS)


def _required(rng: Random) -> list[Permission]:
    return [] if rng.random() < 0.7 else rng.choices(list(Permission), k=rng.randrange(1, 4))


def _noise(rng: Random, longest: int) -> str:
    length = rng.randrange(longest)
    match rng.randrange(5):
        case 0:
            return rng.randbytes(length).decode("latin-1")
        case 1:
            return "".join(chr(rng.randrange(0x110000)) for _ in range(length))
        case 2:
            return "".join(rng.choices('T1=abcXYZ019.-_+/%&:{}"\\\ud800', k=length))
        case 3:
            return tokens.segment(rng.randbytes(length))
        case _:
            return base64.b64encode(rng.randbytes(length)).decode()


def _random(rng: Random) -> str:
    """Text that is no token, with what tokens start with or are made of."""
    match rng.randrange(4):
        case 0:
            return _noise(rng, 400)
        case 1:
            return "T1==" + _noise(rng, 400)
        case 2:
            return ".".join(_noise(rng, 80) for _ in range(rng.randrange(1, 6)))
        case _:
            inner = f"partner_id={_noise(rng, 12)}&sig={_noise(rng, 60)}:{_noise(rng, 200)}"
            return "T1==" + base64.b64encode(inner.encode("utf-8", "surrogatepass")).decode()


def _mutated(rng: Random) -> str:
    """A valid token with its text changed."""
    token = tokens.valid(rng)[0].write()
    for _ in range(rng.choice([1, 1, 1, 2, 5])):
        token = rng.choice(_CHANGES)(rng, token)
    return token


def _spoilt(rng: Random) -> str:
    """A valid token with its members changed before it was signed, most often by the right key."""
    made = tokens.valid(rng)[0]
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        if isinstance(made, T1):
            _spoil(rng, rng.choice([made.outer, made.fields, made.fields]), hostile.ESCAPED, _field)
        else:
            _spoil(rng, rng.choice([made.header, made.payload, made.payload]), hostile.RAW, _claim)
    _resigned(rng, made)
    return made.write()


def _twisted(rng: Random) -> str:
    """A well-made token that says something else: it gets as far as its signature, and beyond."""
    made = tokens.valid(rng)[0]
    for _ in range(rng.choice([1, 1, 2, 3])):
        members = rng.choice([made.outer, made.fields] if isinstance(made, T1) else [made.header, made.payload])
        place = rng.randrange(len(members))
        name = members[place][0]
        choice = hostile.CLAIMS.get(name.decode().strip('"'))
        if choice:
            value = rng.choice(choice)
            members[place] = (name, _field(value) if isinstance(made, T1) else _claim(value))
        elif rng.random() < 0.2:
            members.pop(place)
        elif isinstance(made, Jwt) and rng.random() < 0.2:
            members.append((b'"nbf"', _claim(rng.choice(hostile.MOMENTS))))
        if not members:
            break
    if rng.random() < 0.2:
        _resigned(rng, made)
    if isinstance(made, Jwt) and rng.random() < 0.1:
        # All is in order but for whose key it is.
        key = rng.choice([*RING.values(), STRANGER])
        made.header = tokens.native_header(key)
        made.sign = lambda data: sign_with(key, data)
    return made.write()


def _heavy(rng: Random) -> str:
    """As much as a token may hold of something that costs its reader, in any place of it."""
    length = rng.choice(hostile.LENGTHS)
    unit = rng.choice(hostile.HEAVY)
    bulk = (unit * (length // len(unit) + 1))[:length]
    data = bulk.encode()
    item = rng.choice(hostile.ITEMS)
    made = tokens.valid(rng)[0]
    match rng.randrange(6):
        case 0:
            return rng.choice(["", "T1=="]) + bulk
        case 1:
            return "T1==" + base64.b64encode(data).decode()
        case 2:
            segments = [tokens.segment(data) if rng.random() < 0.5 else "e30" for _ in range(3)]
            return ".".join(segments)
        case 3:
            return rng.choice([".", "a.", "=", "\ud800", "e30."]) * length
        case _:
            # A valid one with the bulk in a claim, or as many claims as fit.
            if isinstance(made, T1):
                made.fields.append((b"connection_data", data.replace(b"&", b"%26").replace(b"=", b"%3D")))
                if rng.random() < 0.5:
                    made.fields += [(b"%d" % n, b"%41") for n in range(length // 10)]
            else:
                made.payload += rng.choice(
                    [
                        [(b'"x"', json.dumps(bulk).encode())],
                        [(b'"%d"' % n, b"0") for n in range(length // 10)],
                        [(b'"x"', b"[" + item * (length // len(item)) + b'"\\u0041"]')],
                    ]
                )
            return made.write()


def _spoil(rng: Random, members: Members, raw: list[bytes], write: Callable[[object], bytes]) -> None:
    place = rng.randrange(len(members)) if members else 0
    known = rng.choice(list(hostile.CLAIMS))
    name = known.encode() if write is _field else json.dumps(known).encode()
    match rng.randrange(8) if members else 7:
        case 0:
            members.pop(place)
        case 1:
            members.insert(rng.randrange(len(members) + 1), members[place])
        case 2:
            rng.shuffle(members)
        case 3:
            members[place] = (rng.choice(raw), members[place][1])
        case 4 | 5:
            value = rng.choice(raw) if write is _field or rng.random() < 0.6 else hostile.json_value(rng)
            members[place] = (members[place][0], value)
        case 6:
            members.append((name, rng.choice(raw)))
        case _:
            members.append((name, write(rng.choice(hostile.CLAIMS[known]))))


def _resigned(rng: Random, made: Jwt | T1) -> None:
    """Now and then by another key, by none, or with something that is no signature."""
    secret = rng.choice([secret for secrets in SECRETS.values() for secret in secrets])
    if rng.random() < 0.8:
        return
    if isinstance(made, T1):
        made.secret = secret
        return
    key = rng.choice([*RING.values(), STRANGER])
    signers: list[Callable[[bytes], bytes]] = [
        lambda data: sign_with(key, data),
        lambda data: sign_hs256(secret, data),
        lambda data: sign_hs256(json.dumps(key.public.jwk), data),
        sign_rs256,
        lambda _: b"",
        lambda _: bytes(64),
        lambda _: b"\xff" * rng.choice([1, 32, 63, 64, 65, 96, 132, 255, 256, 257]),
    ]
    made.sign = rng.choice(signers)


def _claim(value: object) -> bytes:
    return json.dumps(value).encode()


def _field(value: object) -> bytes:
    return str(value).encode().replace(b"&", b"%26")


def _flip(rng: Random, token: str) -> str:
    place = rng.randrange(len(token) + 1)
    if place == len(token):
        return token + rng.choice("A=. \n")
    return token[:place] + chr(ord(token[place]) ^ 1 << rng.randrange(8)) + token[place + 1 :]


def _cut(rng: Random, token: str) -> str:
    start, end = sorted((rng.randrange(len(token) + 1), rng.randrange(len(token) + 1)))
    return rng.choice([token[:start], token[end:], token[:start] + token[end:]])


def _repeat(rng: Random, token: str) -> str:
    start, end = sorted((rng.randrange(len(token) + 1), rng.randrange(len(token) + 1)))
    return token[:end] + token[start:end] * rng.choice([1, 2, 50]) + token[end:]


def _insert(rng: Random, token: str) -> str:
    place = rng.randrange(len(token) + 1)
    return (
        token[:place]
        + rng.choice(["=", "==", ".", " ", "\n", "\x00", "é", "\ud800", "+", "/", "%", "A"])
        + token[place:]
    )


def _swap(rng: Random, token: str) -> str:
    """A segment of another token in the place of one of this, or two of its own exchanged."""
    segments, others = token.split("."), tokens.valid(rng)[0].write().split(".")
    segments[rng.randrange(len(segments))] = rng.choice(rng.choice([segments, others]))
    return ".".join(segments)


def _respell(rng: Random, token: str) -> str:
    """The same bytes, or nearly, as a lax decoder takes them."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    match rng.randrange(4):
        case 0:
            return token.replace("-", "+").replace("_", "/")
        case 1:
            return token + "=" * rng.randrange(1, 4)
        case 2:
            last = alphabet.find(token[-1:])
            return token[:-1] + alphabet[(last + 1) % 64]
        case _:
            return token.replace("+", "-").replace("/", "_")


def _reverse(rng: Random, token: str) -> str:
    return rng.choice([token[::-1], token.swapcase(), token.upper(), ".".join(token.split(".")[::-1])])


_CHANGES: Final = [_flip, _flip, _cut, _repeat, _insert, _swap, _respell, _reverse]
_KINDS: Final[Mapping[str, Callable[[Random], str]]] = {
    "valid": lambda rng: "",
    "random": _random,
    "mutated": _mutated,
    "spoilt": _spoilt,
    "twisted": _twisted,
    "heavy": _heavy,
}
_WEIGHTS: Final = (5, 10, 20, 30, 30, 5)
