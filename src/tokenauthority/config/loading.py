"""Read the settings once, from `TOKENAUTHORITY_*` variables, else a TOML file, else defaults, and check them."""

from __future__ import annotations

import os
import re

from pathlib import Path
from typing import Final

from pydantic import BaseModel, SecretStr, ValidationError

from tokenauthority.config.listeners import OFF, problems_of_file, problems_of_listeners
from tokenauthority.config.master_keys import problems_of_master_keys
from tokenauthority.config.settings import PREFIX, Settings
from tokenauthority.config.telemetry import LOOPBACK_URL, problems_of_telemetry
from tokenauthority.config.turn import read_turn
from tokenauthority.config.variables import unknown_variables, variables_of_settings
from tokenauthority.config.wording import unreadable, variable_of, worded
from tokenauthority.domain.counts import counted
from tokenauthority.domain.similar_names import did_you_mean
from tokenauthority.domain.times import DAY
from tokenauthority.signing.hsm_uri import TokenUri
from tokenauthority.toml_text import TomlTextError, parse_toml


COMMAND_LINE: Final = ("dev", "dev_api_key", "config_file", "config_holds_secret")
"""Fields that the command line sets, and no file."""

_DEV_DEFAULTS: Final = (
    ("logging", "format", "text"),
    ("listen", "reflection", True),
    ("listen", "http_api", "127.0.0.1:8082"),
)
"""Defaults that differ with --dev: group, field, value."""

_COMMON: Final = {"issuance": ("issuer", "leeway", "jwks_max_age"), "keys": ("algorithm", "rotation_period")}

_LOOPBACK: Final = re.compile(r"^(127\.[0-9.]+|localhost|\[::1\]):[0-9]{1,5}$")


class ConfigError(Exception):
    """The settings are incomplete or not valid. `problems` names every problem, without values."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("the settings cannot be used:\n" + "\n".join(f"  - {problem}" for problem in problems))
        self.problems = tuple(problems)


def load(config_file: Path | None = None, *, dev: bool = False, dev_api_key: str | None = None) -> Settings:
    """Read the settings; raise ConfigError with every problem if a server cannot start with them."""
    settings = read(config_file, dev=dev, dev_api_key=dev_api_key)
    if problems := problems_of(settings):
        raise ConfigError(problems)
    return settings


def read(config_file: Path | None = None, *, dev: bool = False, dev_api_key: str | None = None) -> Settings:
    """Read the settings, complete or not; raise ConfigError if the file or values are unreadable or unknown."""
    values = _read_file(config_file)
    problems = [f"{name} is for the command line, not the file" for name in COMMAND_LINE if name in values]
    if dev:
        values.setdefault("data_dir", Path(".tokenauthority"))
        for group, field, value in _DEV_DEFAULTS:
            table = values.setdefault(group, {})
            if isinstance(table, dict):
                table.setdefault(field, value)
    values |= {"dev": dev, "dev_api_key": dev_api_key, "config_file": config_file}
    problems += [f"{name} is not a setting{_similar_variable(name)}" for name in unknown_variables(os.environ)]
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        unknown = {problem.split()[0].upper() for problem in problems}
        found = [(tuple(map(str, e["loc"])), e) for e in error.errors(include_input=False)]
        # An unknown variable is named once. A group that is given as one variable has no location of its own.
        problems += [
            worded(loc, e["type"], e["msg"]) + (_similar_key(loc) if e["type"] == "extra_forbidden" else "")
            for loc, e in found
            if variable_of(loc) not in unknown and (loc or not unknown)
        ]
        raise ConfigError(problems) from None
    if problems:
        raise ConfigError(problems)
    if dev and "issuer" not in settings.issuance.model_fields_set:
        issuance = settings.issuance.model_copy(update={"issuer": f"http://{settings.listen.http}"})
        settings = settings.model_copy(update={"issuance": issuance})
    return settings.model_copy(update={"config_holds_secret": _hold_secret(values, settings)})


def problems_of(settings: Settings) -> list[str]:
    """Return why a server cannot start with *settings*; empty if it can."""
    problems = _unsafe(settings) if settings.dev else _missing(settings)
    problems += _provider_problems(settings) + _platform_problems(settings) + read_turn(settings.turn)[1]
    return problems + problems_of_telemetry(settings.telemetry)


def describe(settings: Settings) -> list[tuple[str, str, str]]:
    """Return every variable with its value, `**********` for a secret, and its meaning."""
    meaning = " ".join((Settings.model_fields["data_dir"].description or "").split())
    rows = [(PREFIX + "DATA_DIR", str(settings.data_dir), meaning)]
    for name, group in settings:
        if isinstance(group, BaseModel):
            rows += [
                (
                    f"{PREFIX}{name.upper()}__{field.upper()}",
                    # The default of the issuer is for --dev alone, where `read` sets it.
                    "" if value is None or (field == "issuer" and field not in group.model_fields_set) else str(value),
                    " ".join((type(group).model_fields[field].description or "").split()),
                )
                for field, value in group
            ]
    return rows


def _similar_variable(name: str) -> str:
    """Return a question about the variable that an unknown one may stand for; all begin alike, which says nothing."""
    known = [variable.removeprefix(PREFIX) for variable in sorted(variables_of_settings())]
    return did_you_mean(name.upper().removeprefix(PREFIX), known).replace("mean '", f"mean '{PREFIX}")


def _similar_key(path: tuple[str, ...]) -> str:
    """Return a question about the key of the file that one that is no setting may stand for."""
    keys = [variable.removeprefix(PREFIX).lower().replace("__", ".") for variable in sorted(variables_of_settings())]
    groups = sorted({key.partition(".")[0] for key in keys})
    return did_you_mean(".".join(path), keys if len(path) > 1 else groups)


def common_settings(settings: Settings) -> dict[str, str]:
    """Return the settings that all servers of one store must have alike, by variable; none is a secret.

    Servers with another issuer call each other's tokens invalid. Those with another algorithm or rotation take turns to
    change the key ring.
    """
    groups = {"issuance": settings.issuance, "keys": settings.keys}
    return {
        variable_of((group, name)): str(getattr(groups[group], name))
        for group, names in _COMMON.items()
        for name in names
    }


def _read_file(config_file: Path | None) -> dict[str, object]:
    if config_file is None:
        return {}
    try:
        return parse_toml(config_file.read_bytes())[1]
    except OSError as error:
        raise ConfigError([f"{config_file} cannot be read: {error.strerror}"]) from error
    except TomlTextError as error:
        raise ConfigError([f"{config_file}:{error.line}: {error}"]) from error


def _hold_secret(values: dict[str, object], settings: Settings) -> bool:
    """Return whether one of the *values* of a file, which became *settings*, is one that is not to be shown."""
    return any(
        isinstance(table, dict)
        and any(isinstance(getattr(getattr(settings, group), name), SecretStr) for name in table)
        for group, table in values.items()
    )


def _missing(settings: Settings) -> list[str]:
    """Return the settings that are required without --dev and missing."""
    problems = problems_of_listeners(settings)
    problems += problems_of_file("callers", "file", settings.callers.file)
    problems += problems_of_master_keys(settings.keys, required=True)
    if settings.keys.rotation_period < DAY:
        problems.append(f"{PREFIX}KEYS__ROTATION_PERIOD must be at least {DAY} (one day) outside of --dev")
    if "issuer" not in settings.issuance.model_fields_set:
        problems.append(f"{PREFIX}ISSUANCE__ISSUER is required (or issuance.issuer in the file)")
    elif not settings.issuance.issuer.startswith("https://"):
        problems.append(f"{PREFIX}ISSUANCE__ISSUER must begin with https://")
    return problems


def _provider_problems(settings: Settings) -> list[str]:
    """Return why the provider of the keys cannot be used."""
    provider, pin = f"{PREFIX}KEYS__PROVIDER", f"{PREFIX}KEYS__PROVIDER_PIN"
    keys = settings.keys
    if not keys.provider:
        return [f"{pin} is for {provider}, which is not set"] if keys.provider_pin is not None else []
    source = TokenUri.parse(keys.provider).pin_source
    if (source is None) == (keys.provider_pin is None):
        return [f"exactly one of {pin} and pin-source in {provider} is required"]
    return unreadable(f"{provider} (pin-source)", source) if source is not None else []


def _platform_problems(settings: Settings) -> list[str]:
    """Return why no platform can be asked: a request in plaintext would give its credential away."""
    variable, platform = f"{PREFIX}PLATFORM__URLS", settings.platform
    insecure = [url for url in platform.urls.split() if not url.startswith("https://")]
    problems = []
    if not settings.dev and insecure:
        problems.append(f"{variable}: each URL must begin with https://")
    elif not all(LOOPBACK_URL.match(url) for url in insecure):
        problems.append(f"{variable}: each URL must begin with https://, or with --dev be on loopback")
    return problems + (unreadable(f"{PREFIX}PLATFORM__CA_FILE", platform.ca_file) if platform.ca_file else [])


def _unsafe(settings: Settings) -> list[str]:
    """Return what --dev does not allow: plaintext to other machines, and listeners for production."""
    listen = settings.listen
    problems = [
        f"{PREFIX}LISTEN__{name.upper()}: --dev listens on loopback only, not on {address}"
        for name, address in (
            ("grpc", listen.grpc),
            ("http", listen.http),
            ("http_api", listen.http_api),
            ("ops", listen.ops),
        )
        if not _LOOPBACK.match(address) and not (name == "http_api" and address == OFF)
    ]
    problems += problems_of_master_keys(settings.keys, required=False)
    # A key ends a quarter of a period late, and the next one must have been published by then.
    shortest = settings.publication / 1.25
    if settings.keys.rotation_period <= shortest:
        problems.append(
            f"{PREFIX}KEYS__ROTATION_PERIOD must be more than {shortest:g}, or a key would end before the next one, "
            f"which is published for {counted(settings.publication, 'second')} first, may sign"
        )
    given = (("mtls", listen.mtls), ("sidecar", listen.sidecar))
    return problems + [f"{PREFIX}LISTEN__{name.upper()}: not with --dev" for name, address in given if address]
