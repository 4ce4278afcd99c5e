"""A master key comes from one place, which is named when it cannot be had; nothing of the key is shown."""

from __future__ import annotations

import os

from collections.abc import Mapping
from pathlib import Path

import pytest

from tokenauthority.config.loading import ConfigError, describe, read
from tokenauthority.config.master_keys import MAX_FILE, MasterKeySourceError, problems_of_master_keys, sources_of


CANARY = "canary-5e1f"
MASTER, PREVIOUS = "TOKENAUTHORITY_KEYS__MASTER_KEY", "TOKENAUTHORITY_KEYS__PREVIOUS_MASTER_KEY"


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a file of each kind, credentials in `run`, and no variable of ours or systemd's."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.upper().startswith(("TOKENAUTHORITY_", "CREDENTIALS_")):
            monkeypatch.delenv(name)
    (tmp_path / "run").mkdir()
    for path in (tmp_path / "master.key", tmp_path / "run" / "master"):
        path.write_text(CANARY)
        path.chmod(0o600)
    return tmp_path


def given(monkeypatch: pytest.MonkeyPatch, variables: Mapping[str, str]) -> None:
    """Set these variables."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def problems(*, required: bool = True) -> list[str]:
    """What there is to object to."""
    return problems_of_master_keys(read().keys, required=required)


@pytest.mark.parametrize("which", [MASTER, PREVIOUS])
@pytest.mark.parametrize(
    "variables",
    [{"": CANARY}, {"_FILE": "master.key"}, {"_CREDENTIAL": "master", "CREDENTIALS_DIRECTORY": "run"}],
    ids=["variable", "file", "credential"],
)
def test_reads_each_source(monkeypatch: pytest.MonkeyPatch, which: str, variables: Mapping[str, str]) -> None:
    """The text is that of the variable, the file or the credential of systemd."""
    given(
        monkeypatch,
        {name if name.startswith("CRED") else which + name: value for name, value in variables.items()},
    )
    sources = sources_of(read().keys)[which == PREVIOUS]

    assert [CANARY] == [source.read() for source in sources]
    assert [] == problems(required=which == MASTER)
    assert CANARY not in repr(sources)


@pytest.mark.parametrize("required", [True, False])
@pytest.mark.parametrize(
    "variables",
    [
        {MASTER: CANARY, f"{MASTER}_FILE": "master.key"},
        {f"{MASTER}_CREDENTIAL": "master", f"{MASTER}_FILE": "master.key", "CREDENTIALS_DIRECTORY": "run"},
        {MASTER: CANARY, f"{MASTER}_CREDENTIAL": "master", "CREDENTIALS_DIRECTORY": "run"},
    ],
)
def test_refuses_two_sources(monkeypatch: pytest.MonkeyPatch, variables: Mapping[str, str], *, required: bool) -> None:
    """With --dev too: which of them counts would be a guess. The same for the previous one."""
    given(monkeypatch, variables)
    (of_master_key,) = problems(required=required)
    given(monkeypatch, {name.replace(MASTER, PREVIOUS): value for name, value in variables.items()})

    alternatives = f"{MASTER}, {MASTER}_FILE and {MASTER}_CREDENTIAL"
    assert f"exactly one of {alternatives} is required" == of_master_key
    assert [of_master_key, f"at most one of {alternatives.replace(MASTER, PREVIOUS)} may be given"] == problems()


def test_a_previous_master_key_alone_is_not_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """It only opens; something must seal."""
    given(monkeypatch, {PREVIOUS: CANARY})
    (problem,) = problems()

    assert problem.startswith(f"exactly one of {MASTER}, ")


@pytest.mark.parametrize("which", [MASTER, PREVIOUS])
def test_names_the_credential_that_systemd_did_not_give(monkeypatch: pytest.MonkeyPatch, which: str) -> None:
    """Without systemd's directory, or where it has no credential of that name."""
    given(monkeypatch, {f"{which}_CREDENTIAL": "master"})
    (without,) = problems(required=which == MASTER)
    with pytest.raises(MasterKeySourceError) as caught:
        sources_of(read().keys)[which == PREVIOUS][0].read()
    given(monkeypatch, {f"{which}_CREDENTIAL": "other", "CREDENTIALS_DIRECTORY": "run"})

    assert without.startswith(f"{which}_CREDENTIAL: CREDENTIALS_DIRECTORY is not set; systemd sets it for a service")
    assert without == str(caught.value)
    assert [f"{which}_CREDENTIAL: run/other is not a file"] == problems(required=which == MASTER)


@pytest.mark.parametrize("name", ["", "../master.key", "a/b", ".hidden", "..", "a b", "a" * 256])
def test_a_credential_is_a_name_and_no_path(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Nothing outside of systemd's directory is read."""
    given(monkeypatch, {f"{MASTER}_CREDENTIAL": name, "CREDENTIALS_DIRECTORY": "run"})
    with pytest.raises(ConfigError, match="must be the name of a credential"):
        read()


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        (b"", "master.key is empty"),
        (b" \n", "master.key is empty"),
        (CANARY.encode() * 100, f"master.key has more than {MAX_FILE} bytes"),
        (b" " * (MAX_FILE + 1), f"master.key has more than {MAX_FILE} bytes"),
    ],
    ids=["empty", "blank", "long", "long and blank"],
)
def test_names_a_file_that_holds_no_key(
    directory: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, wrong: str
) -> None:
    """By its setting, without its content."""
    given(monkeypatch, {f"{MASTER}_FILE": "master.key"})
    (directory / "master.key").write_bytes(content)
    (source,) = sources_of(read().keys)[0]
    with pytest.raises(MasterKeySourceError) as caught:
        source.read()

    assert str(caught.value).startswith(f"{MASTER}_FILE: {wrong}")
    assert CANARY not in str(caught.value)


def test_a_file_may_be_as_long_as_the_limit(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """White space around the key does no harm."""
    given(monkeypatch, {f"{MASTER}_FILE": "master.key"})
    (directory / "master.key").write_text(CANARY.ljust(MAX_FILE))

    assert CANARY == sources_of(read().keys)[0][0].read().strip()


def test_names_an_empty_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no key, and no reason to look elsewhere."""
    given(monkeypatch, {MASTER: ""})
    with pytest.raises(MasterKeySourceError, match=f"^{MASTER}: is empty$"):
        sources_of(read().keys)[0][0].read()


@pytest.mark.parametrize("made", ["directory", "fifo", "none"])
def test_names_what_is_no_file_and_waits_for_nobody(
    directory: Path, monkeypatch: pytest.MonkeyPatch, made: str
) -> None:
    """A FIFO without a writer would hold up the start for ever."""
    given(monkeypatch, {f"{MASTER}_FILE": "odd"})
    if made == "directory":
        (directory / "odd").mkdir()
    elif made == "fifo":
        os.mkfifo(directory / "odd")
    (source,) = sources_of(read().keys)[0]
    with pytest.raises(MasterKeySourceError) as caught:
        source.read()

    assert [f"{MASTER}_FILE: odd is not a file"] == problems()
    assert f"{MASTER}_FILE: odd cannot be read by uid {os.geteuid()}" in str(caught.value)


def test_knows_a_file_of_the_operator_from_a_credential(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A credential is guarded by systemd, whose mode bits may be those of an ACL."""
    given(monkeypatch, {f"{MASTER}_FILE": "master.key", f"{PREVIOUS}_CREDENTIAL": "master"})
    given(monkeypatch, {"CREDENTIALS_DIRECTORY": "run"})
    (file,), (credential,) = sources_of(read().keys)

    assert (directory.is_dir(), True, False) == (True, file.is_file, credential.is_file)


def test_settings_show_no_master_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the one nor the other, in no form."""
    given(monkeypatch, {MASTER: CANARY, PREVIOUS: CANARY})
    settings = read()

    assert CANARY not in f"{settings!r} {settings} {settings.model_dump()} {describe(settings)}"
    assert {"**********"} == {value for name, value, _ in describe(settings) if name in {MASTER, PREVIOUS}}
