"""A further token format is one row, one codec and one value of the contract.

These tests copy the service, add one more format by these three edits alone, and use it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from pathlib import Path

import pytest

from tests.signing.builders import SECRET


ROOT = Path(__file__).resolve().parents[3]

ROW = """
    TokenFormat.TOY_JWT: FormatTraits(
        signed_by=CredentialKind.SECRET, has_token_id=True, carries_permissions=True, carries_subject=True
    ),
}
"""

CODEC = '''
"""TOY_JWT: a JWT under HS256 with a project secret, and a `toy`."""

import msgspec

from tokenauthority.domain.role import Permission
from tokenauthority.domain.token import GeneratedToken, TokenClaims, TokenTerms
from tokenauthority.domain.token_format import TokenFormat
from tokenauthority.signing.claims import numeric_date, text, text_list
from tokenauthority.signing.formats.codec import Encoder, JwsCodec, signed_with, verify_with_secrets
from tokenauthority.signing.project_keys import ProjectSecret


def prepare_toy(terms: TokenTerms, key: ProjectSecret) -> Encoder:
    shared = {
        "toy": terms.session_id, "aud": terms.project_id, "role": terms.role, "can": terms.permissions,
        "iat": terms.issue_time, "exp": terms.expire_time,
    }

    def encode_toy(data: str, subject: str, unique: str) -> GeneratedToken:
        said = {**shared, "sub": subject, "jti": unique, "data": data}
        return GeneratedToken(key.signer.sign(msgspec.json.encode(said))[0], unique, subject, terms)

    return encode_toy


def read_toy(jws):
    said = jws.payload
    claims = TokenClaims(
        session_id=text(said, "toy"), project_id=text(said, "aud"), subject=text(said, "sub"),
        role=text(said, "role"), permissions=tuple(map(Permission, text_list(said, "can"))),
        token_id=text(said, "jti"), issue_time=numeric_date(said, "iat"), expire_time=numeric_date(said, "exp"),
        data=text(said, "data"),
    )
    return jws.unverified(TokenFormat.TOY_JWT, claims)


CODEC = JwsCodec(
    token_format=TokenFormat.TOY_JWT,
    recognises=lambda jws: "toy" in jws.payload,
    read=read_toy,
    prepare=signed_with(ProjectSecret, prepare_toy),
    verify=verify_with_secrets,
)
'''

USE = """
import asyncio

import msgspec

from tests.authority.world import NOW, make_role, make_world
from tests.support.authority import EVERYTHING, make_caller
from tokenauthority.authority.roles import Roles
from tokenauthority.authority.time_slice import TimeSlice
from tokenauthority.cli.values import FORMATS
from tokenauthority.domain.errors import InvalidRequestError
from tokenauthority.domain.role import Permission
from tokenauthority.domain.token import TokenSpec
from tokenauthority.domain.token_format import TokenFormat
from tokenauthority.service import mapping


async def main():
    world = await make_world()
    role = make_role(world.project_id, Permission.FORCE_MUTE)
    await Roles(world.store, world.tenants, lambda *_: False).create(role, make_caller())
    wanted = TokenSpec(
        session_id=world.session.session_id, role="host", data="d", subject="ann", format=TokenFormat.TOY_JWT
    )
    batch = await world.generate.batch([wanted], EVERYTHING, NOW, TimeSlice())
    tokens = [await world.generate.one(wanted, EVERYTHING, NOW), *batch]
    for made in tokens:
        verdict = await world.verify.check(made.token, EVERYTHING, NOW, required=[Permission.FORCE_MUTE])
        assert verdict.reason is None, verdict
        claims = verdict.signed.claims
        assert (verdict.signed.format, claims.role, claims.subject, claims.data, claims.token_id) == (
            TokenFormat.TOY_JWT, "host", "ann", "d", made.token_id
        ), claims
    try:
        refused = msgspec.structs.replace(wanted, initial_layout_class_list=("focus",))
        await world.generate.one(refused, EVERYTHING, NOW)
    except InvalidRequestError as error:
        assert [violation.field for violation in error.violations] == ["initial_layout_class_list"]
    else:
        raise AssertionError("a format without layout classes has carried some")
    assert "toy_jwt" in FORMATS.choices
    print("made", len(tokens))


asyncio.run(main())
"""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The service with a row and a codec for TOY_JWT, whose contract does not name it yet."""
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "protos", tmp_path / "protos")
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    package = tmp_path / "src" / "tokenauthority"
    rows = package / "domain" / "token_format.py"
    text = rows.read_text(encoding="utf-8")
    text = text.replace('    VONAGE_JWT = "VONAGE_JWT"\n', '    VONAGE_JWT = "VONAGE_JWT"\n    TOY_JWT = "TOY_JWT"\n')
    rows.write_text(text.removesuffix("}\n") + ROW.lstrip("\n"), encoding="utf-8")
    (package / "signing" / "formats" / "toy_jwt.py").write_text(CODEC, encoding="utf-8")
    return tmp_path


def _run(copy: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(copy / "src"), str(ROOT)))}
    command = (sys.executable, *arguments)
    return subprocess.run(command, env=environment, cwd=copy, check=False, capture_output=True, text=True)


def test_one_more_format_needs_a_row_a_codec_and_a_value_of_the_contract(copy: Path) -> None:
    """Made, alone and in a batch, verified, read, granted by its row and refused what it cannot carry."""
    contract = copy / "protos" / "tokenauthority" / "v1" / "token.proto"
    text = contract.read_text(encoding="utf-8")
    contract.write_text(
        text.replace("TOKEN_FORMAT_VONAGE_JWT = 4;", "TOKEN_FORMAT_VONAGE_JWT = 4;\n  TOKEN_FORMAT_TOY_JWT = 100;"),
        encoding="utf-8",
    )
    generated = _run(copy, "scripts/protos.py")
    assert 0 == generated.returncode, generated.stderr

    used = _run(copy, "-c", USE)

    assert "made 2\n" == used.stdout, used.stderr


def test_a_format_that_the_contract_does_not_name_is_refused(copy: Path) -> None:
    """The service does not start with a format that no caller can ask for."""
    used = _run(copy, "-c", "import tokenauthority.service.mapping")

    assert "TOKEN_FORMAT_TOY_JWT" in used.stderr
    assert used.returncode


def test_a_format_of_the_contract_without_a_row_is_refused(copy: Path) -> None:
    """The service does not start with a value of the contract that it would not understand."""
    rows = copy / "src" / "tokenauthority" / "domain" / "token_format.py"
    text = rows.read_text(encoding="utf-8")
    for name in ("VONAGE_JWT", "TOY_JWT"):
        text = text.replace(f'    {name} = "{name}"\n', "").replace(f"    TokenFormat.{name}:", f"    '{name}':")
    rows.write_text(text, encoding="utf-8")

    used = _run(copy, "-c", "import tokenauthority.service.mapping")

    assert "the contract names a token format that the authority does not have" in used.stderr


def test_a_format_without_a_codec_is_refused(copy: Path) -> None:
    """No token of it is ever made by another format's codec."""
    (copy / "src" / "tokenauthority" / "signing" / "formats" / "toy_jwt.py").unlink()

    used = _run(copy, "-c", "import tokenauthority.signing.formats.registry")

    assert "toy_jwt" in used.stderr
    assert used.returncode


def test_a_codec_of_another_format_is_refused(copy: Path) -> None:
    """A module that was copied and not adapted does not stand in for its format."""
    formats = copy / "src" / "tokenauthority" / "signing" / "formats"
    shutil.copy(formats / "opentok_jwt.py", formats / "toy_jwt.py")

    used = _run(copy, "-c", "import tokenauthority.signing.formats.registry")

    assert "the module of TOY_JWT has no codec of it" in used.stderr


def test_a_token_that_two_codecs_recognise_is_malformed(copy: Path) -> None:
    """Which of two rules came first never decides what a token says."""
    codec = copy / "src" / "tokenauthority" / "signing" / "formats" / "toy_jwt.py"
    codec.write_text(CODEC.replace('"toy" in jws.payload', "True"), encoding="utf-8")
    read = (
        "from tests.signing.builders import *\n"
        f"token = make_token(TokenFormat.OPENTOK_JWT, key=ProjectSecret('s', '{SECRET.value}')).token\n"
        "print(rejection(read_token, token))"
    )

    assert "MALFORMED\n" == _run(copy, "-c", read).stdout
