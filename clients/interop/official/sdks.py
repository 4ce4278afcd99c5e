"""The official SDKs: how to get and start each one, which options it has, and what its users see of an error."""

from __future__ import annotations

import os
import sys

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import attrs

from clients.interop.packages import Package, build_directory
from tests.conformance.sdk.node_sdk import HERE as NODE_MODULES
from tests.conformance.sdk.node_sdk import node_with_packages
from tests.conformance.sdk.programs import Announce


HERE: Final = Path(__file__).parent
BOTH_FORMATS: Final = (False, True)


@attrs.frozen(kw_only=True)
class Sdk:
    """One SDK.

    Attributes:
        command: Starts its driver. `{build}` is where the package is built, `{ca}` the PEM file of the authority's CA,
            `{trust_store}` the same in Java's form.
        trust: Variables with which a program of this language trusts that CA.
        options: What it can ask of a session besides media mode, archive mode and location.
        roles: The roles that it knows.
        legacy: For each format of its tokens, whether that is T1.
        checkout: The variable that names a copy of the SDK, where no package registry has it.
        forbidden: Code and part of the message for a wrong secret.
        invalid: Options that it sends and the authority refuses, with code and part of the message; None if it sends
            none.
    """

    name: str
    package: Package
    command: Sequence[str]
    trust: Mapping[str, str] = attrs.Factory(dict)
    options: frozenset[str] = frozenset()
    roles: Sequence[str] = ("subscriber", "publisher", "publisheronly", "moderator")
    legacy: Sequence[bool] = BOTH_FORMATS
    checkout: str = ""
    forbidden: tuple[str, str]
    invalid: tuple[Mapping[str, object], str, str] | None = None

    @property
    def directory(self) -> Path:
        """Where its driver is started."""
        return NODE_MODULES if self.name == "official-node" else self.package.directory

    def prepare(self, announce: Announce) -> Mapping[str, str]:
        """Get the SDK, and return the variables with which its driver finds its programs.

        Raises:
            LookupError: no copy of an SDK is named that no package registry has.
            RuntimeError: the toolchain is missing, or the SDK cannot be installed.
        """
        if self.checkout and not os.environ.get(self.checkout):
            raise LookupError(f"{self.checkout} names no copy of the SDK")
        if self.name == "official-node":
            node_with_packages(announce)
        toolchain = self.package.find_toolchain()
        toolchain.build(announce)
        return toolchain.variables

    def started_with(self, **places: object) -> tuple[list[str], dict[str, str]]:
        """Return the command and the variables of trust, with *places* filled in."""
        known = {"build": build_directory(self.package), **places}
        command = [part.format_map(known) for part in self.command]
        return command, {name: value.format_map(known) for name, value in self.trust.items()}


def _package(name: str, install: str, *needs: Sequence[str], build: Sequence[Sequence[str]] = ()) -> Package:
    return Package(
        needs=[list(each) for each in needs],
        install=install,
        drivers={},
        build=[list(each) for each in build],
        directory=HERE / name,
    )


_COPY: Final = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
_MAVEN: Final = ["mvn", "-q", "-B", _COPY, "-DoutputDirectory={build}/lib"]
_ARCHIVE: Final = frozenset({"archive_name", "archive_resolution"})

SDKS: Final = (
    Sdk(
        name="official-python",
        package=_package("python", "Python", ["{python}", "--version"]),
        command=[sys.executable, "driver.py"],
        trust={"REQUESTS_CA_BUNDLE": "{ca}"},
        options=_ARCHIVE | {"e2ee"},
        forbidden=("RequestError", "invalid credentials"),
        invalid=({"location": "1.2"}, "OpenTokException", "Failed to generate session: 0"),
    ),
    Sdk(
        name="official-node",
        package=_package("node", "Node.js 20", ["node", "--version"]),
        command=["node", str(HERE / "node" / "driver.cjs")],
        trust={"NODE_EXTRA_CA_CERTS": "{ca}"},
        options=_ARCHIVE | {"e2ee"},
        forbidden=("Error", "Invalid API key or secret"),
        invalid=({"archive_name": "x"}, "Error", "archive_name: needs archive_mode ALWAYS"),
    ),
    Sdk(
        name="official-java",
        package=_package("java", "a JDK of Java 17 and Maven", ["mvn", "-v"], ["javac", "-version"], build=[_MAVEN]),
        command=[
            "java",
            "-Djavax.net.ssl.trustStore={trust_store}",
            "-Djavax.net.ssl.trustStorePassword=changeit",
            "-cp",
            "{build}/lib/*",
            "Driver.java",
        ],
        roles=("subscriber", "publisher", "moderator"),
        legacy=(True,),
        forbidden=("RequestException", "403"),
    ),
    Sdk(
        name="official-ruby",
        package=_package(
            "ruby",
            "Ruby 3.1 with httparty, jwt, activesupport and addressable",
            ["ruby", "-r", "httparty", "-r", "jwt", "-r", "active_support", "-r", "addressable", "-e", "0"],
        ),
        command=["ruby", "driver.rb"],
        trust={"SSL_CERT_FILE": "{ca}"},
        options=_ARCHIVE | {"e2ee"},
        checkout="OPENTOK_RUBY_SDK",
        forbidden=("OpenTok::OpenTokError", "Authentication failed while creating a session"),
        invalid=({"archive_name": "x"}, "OpenTok::OpenTokError", "Response code: 400"),
    ),
    Sdk(
        name="official-php",
        package=_package("php", "PHP 8.2 with its curl extension", ["php", "-v"]),
        command=["php", "-d", "curl.cainfo={ca}", "-d", "openssl.cafile={ca}", "driver.php"],
        options=_ARCHIVE | {"e2ee"},
        checkout="OPENTOK_PHP_AUTOLOAD",
        forbidden=("GuzzleHttp\\Exception\\ClientException", "403"),
        invalid=(
            {"archive_mode": "always", "archive_name": "x" * 81},
            "GuzzleHttp\\Exception\\ClientException",
            "archive_name",
        ),
    ),
)
