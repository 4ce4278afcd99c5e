"""Certificates are read from files when those change, and only such are taken as can be served with."""

from __future__ import annotations

import os

from datetime import timedelta
from pathlib import Path

import pytest

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from tests.support.spiffe import SpiffeCa
from tokenauthority.server.tls import CertificateError, CertificateFiles


CA = SpiffeCa()
LEAF = CA.issue()
LOCKED = ec.generate_private_key(ec.SECP256R1()).private_bytes(
    Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"canary-11")
)


@pytest.fixture
def files(tmp_path: Path) -> CertificateFiles:
    """Good ones: chain.pem, key.pem and roots.pem."""
    (tmp_path / "chain.pem").write_bytes(LEAF.chain + CA.bundle)
    (tmp_path / "key.pem").write_bytes(LEAF.key)
    (tmp_path / "roots.pem").write_bytes(CA.bundle + SpiffeCa().bundle)
    return CertificateFiles(tmp_path / "chain.pem", tmp_path / "key.pem", tmp_path / "roots.pem")


def test_reads_them_whole_and_then_only_when_they_change(files: CertificateFiles, tmp_path: Path) -> None:
    """The chain with its intermediates and all roots; `repr` shows no key."""
    read = files.read()
    new = CA.issue()
    unchanged = files.read_if_changed()
    (tmp_path / "chain.pem").write_bytes(new.chain)
    (tmp_path / "key.pem").write_bytes(new.key)
    changed = files.read_if_changed()

    assert (LEAF.chain + CA.bundle, LEAF.key, 2) == (read.chain, read.key, (read.roots or b"").count(b"BEGIN"))
    assert unchanged is None
    assert changed is not None
    assert (new.chain, new.certificate.not_valid_after_utc) == (changed.chain, changed.expiry)
    assert "PRIVATE" not in repr(read)


def test_sees_another_file_under_the_same_name_and_time(files: CertificateFiles, tmp_path: Path) -> None:
    """As where a symbolic link of a mounted secret is turned."""
    files.read()
    before = (tmp_path / "roots.pem").stat()
    (tmp_path / "new").write_bytes((tmp_path / "roots.pem").read_bytes())
    os.utime(tmp_path / "new", ns=(before.st_atime_ns, before.st_mtime_ns))
    (tmp_path / "new").replace(tmp_path / "roots.pem")

    assert files.read_if_changed() is not None


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("chain.pem", None, "cannot be read: No such file or directory"),
        ("key.pem", None, "cannot be read: No such file or directory"),
        ("roots.pem", None, "cannot be read: No such file or directory"),
        ("chain.pem", b"", "holds no certificate in PEM"),
        ("chain.pem", LEAF.key, "holds no certificate in PEM"),
        ("chain.pem", LEAF.chain[:300], "holds no certificate in PEM"),
        ("key.pem", b"canary-11", "holds no private key in PEM that needs no password"),
        ("key.pem", LEAF.chain, "holds no private key in PEM that needs no password"),
        ("key.pem", LOCKED, "holds no private key in PEM that needs no password"),
        ("key.pem", CA.issue().key, "is not the private key of the certificate in"),
        ("roots.pem", b"", "holds no certificates in PEM"),
        ("roots.pem", LEAF.key, "holds no certificates in PEM"),
        ("roots.pem", b"x" * 1_048_577, "is larger than 1048576 bytes"),
    ],
)
def test_refuses_what_cannot_be_served_with(
    files: CertificateFiles, tmp_path: Path, name: str, content: bytes | None, problem: str
) -> None:
    """Once for each change: the message names the file and quotes nothing of it."""
    files.read()
    if content is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(CertificateError) as caught:
        files.read_if_changed()

    assert f"{tmp_path / name} {problem}" in str(caught.value)
    assert "canary" not in str(caught.value)
    assert files.read_if_changed() is None


def test_refuses_a_certificate_that_has_ended(files: CertificateFiles, tmp_path: Path) -> None:
    """No client would take it."""
    over = CA.issue(lifetime=timedelta(seconds=-1))
    (tmp_path / "chain.pem").write_bytes(over.chain)
    (tmp_path / "key.pem").write_bytes(over.key)
    with pytest.raises(CertificateError, match=r"the certificate in .*chain\.pem ended at "):
        files.read()
