"""`python -m tokenauthority.cli` is `tokenauthority`."""

from __future__ import annotations

from tokenauthority.cli import main


main()
