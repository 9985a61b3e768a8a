# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The LICENSE file of a published folder: the weights' licence and that of the source files beside them."""

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path


def licence_file(license: str | None, license_name: str | None = None, license_link: str | None = None) -> str:
    """
    Text of `LICENSE`.

    Args:
        license (`str`, *optional*):
            The weights' licence, as the Hub calls it; `"apache-2.0"` gives its text alone.
        license_name (`str`, *optional*):
            Its name, if `license` is `"other"`.
        license_link (`str`, *optional*):
            Where its text is.

    Returns:
        `str`
    """
    apache = _apache_text()
    if license == "apache-2.0":
        return apache
    name = license_name or ("a licence of their own" if license == "other" else license)
    weights = f"The weights are under {name}" if name else "No licence has been stated for the weights"
    link = f" ({license_link})" if license_link and license_link != "LICENSE" else ""
    return f"{weights}{link}.\n\nThe source files (*.py) are under the Apache License 2.0:\n\n{apache}"


def _apache_text() -> str:
    """From the checkout, or from what was installed."""
    checkout = Path(__file__).parents[3] / "LICENSE"
    if checkout.is_file():
        return checkout.read_text(encoding="utf-8")
    try:
        text = distribution("stylevar-hf").read_text("licenses/LICENSE")
    except PackageNotFoundError:
        text = None
    return text or "https://www.apache.org/licenses/LICENSE-2.0\n"


__all__ = ["licence_file"]
