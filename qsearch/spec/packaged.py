"""Where the packaged examples, targets and schemas are."""

from __future__ import annotations

from pathlib import Path

import qsearch
from qsearch.contracts.errors import InputError
from qsearch.contracts.installing import install_hint


def configs_folder() -> Path:
    """The folder of packaged configs: inside an installed package, beside it in a checkout.

    Raises:
        InputError: neither is there; the installation is broken.
    """
    package = Path(qsearch.__file__).resolve().parent
    for folder in (package / "configs", package.parent / "configs"):
        if (folder / "targets").is_dir():
            return folder
    raise InputError(
        f"expected packaged configs at {package / 'configs'}, found none: the installation is broken", install_hint()
    )
