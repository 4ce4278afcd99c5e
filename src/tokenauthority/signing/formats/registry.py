"""Find the codec of each token format, and the format of a token."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Final

from tokenauthority.domain.token_format import TokenFormat
from tokenauthority.signing.formats.codec import Codec, JwsCodec, TextCodec, TrustedKeys
from tokenauthority.signing.jose import parse_compact
from tokenauthority.signing.results import Unverified, Verified, malformed


def codec_of(token_format: TokenFormat) -> Codec:
    """Return the codec of *token_format*."""
    return _CODECS[token_format]


def read_token(token: str) -> Unverified:
    """Read *token*, of whichever format, without verifying it, or raise TokenRejectedError, `MALFORMED`."""
    for text_codec in _TEXT_CODECS:
        if text_codec.recognises(token):
            return text_codec.read(token)
    jws = parse_compact(token)
    recognised = [codec for codec in _JWS_CODECS if codec.recognises(jws)]
    if len(recognised) != 1:
        raise malformed("the token is of no known format")
    return recognised[0].read(jws)


def verify_token(unverified: Unverified, trusted: TrustedKeys) -> Verified:
    """Return what a token that was read says, once one of the *trusted* keys has signed it; see `Codec.verify`."""
    return _CODECS[unverified.format].verify(unverified, trusted)


def _load_codec(token_format: TokenFormat) -> JwsCodec | TextCodec:
    """Return `CODEC` of the module of this package that has the format's name in lower case."""
    codec: object = import_module(f"{__package__}.{token_format.lower()}").CODEC
    if not isinstance(codec, JwsCodec | TextCodec) or codec.token_format is not token_format:
        raise TypeError(f"the module of {token_format} has no codec of it")
    return codec


_CODECS: Final[Mapping[TokenFormat, JwsCodec | TextCodec]] = {each: _load_codec(each) for each in TokenFormat}
_JWS_CODECS: Final = tuple(codec for codec in _CODECS.values() if isinstance(codec, JwsCodec))
_TEXT_CODECS: Final = tuple(codec for codec in _CODECS.values() if isinstance(codec, TextCodec))
