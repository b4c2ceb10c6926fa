# SPDX-License-Identifier: Apache-2.0
"""What a bundle says about itself names what is in it, in both languages."""

import zipfile
from pathlib import Path

from audit_log.bundle_readme import README_EN, README_ZH
from audit_log.commands import export


def test_every_file_of_a_bundle_is_explained(small: Path, tmp_path: Path) -> None:
    """By its name or by its folder."""
    export(small, tmp_path / "b.zip", generator="test 1", bodies="sealed", by="auditor", clock=lambda: 1.8e9)

    with zipfile.ZipFile(tmp_path / "b.zip") as pack:
        for name in pack.namelist():
            if not name.startswith("README"):
                for text in (README_EN, README_ZH):
                    assert f"`{name}`" in text or f"{name.split('/')[0]}/" in text, name
