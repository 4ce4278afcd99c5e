"""Write the files of the contract that a release has beside the packages."""

from __future__ import annotations

import sys

from pathlib import Path
from typing import Final

from google.rpc import error_details_pb2

from scripts.docs.contract import contract_page, descriptor_set, errors_page
from scripts.docs.pages import FILES
from tokenauthority import __version__


_ERROR_DETAILS: Final = "google/rpc/error_details.proto"


def write_release_files(directory: Path) -> None:
    """Write into *directory* the descriptor set, the references of the contract and its errors, and the service config.

    The descriptor set has all that it imports, and the details of errors, so that grpcurl and others can read it alone.
    """
    # The package has the source of its module beside it.
    root = Path(str(error_details_pb2.__file__)).parents[2]
    descriptors = descriptor_set("--include_imports", f"--proto_path={root}", _ERROR_DETAILS)
    (directory / f"tokenauthority-{__version__}.binpb").write_bytes(descriptors)
    pages = {"contract.md": contract_page, "errors.md": errors_page, **FILES}
    for name, generate in pages.items():
        stem, dot, suffix = name.rpartition(".")
        (directory / f"tokenauthority-{__version__}-{stem}{dot}{suffix}").write_text(generate(), encoding="utf-8")


if __name__ == "__main__":
    write_release_files(Path(sys.argv[1]))
