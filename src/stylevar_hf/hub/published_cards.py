# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
The cards in `model_cards/`: `python -m stylevar_hf.hub.published_cards [--output model_cards] [--check]`.

Figures of our own models are read from `model_cards/measured/NAME.results.json`, which `stylevar evaluate` wrote, and
`NAME.training.json`, a mapping of what to say about the training; where there is none, the card says "Not measured".
Figures of the published models are the paper's own, and the cards say so.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from huggingface_hub import ModelCard

from .._common.files import write_atomically
from ..checkpoints import bundled_checkpoint
from ..configuration_stylevar import StyleVARConfig
from .card_facts import architecture_facts
from .data_sources import DATA_SOURCES
from .folders import read_json
from .model_card import CardFacts, make_card
from .results import PAPER_URL, Result, read_results


# Where the models go, or are meant to go.
NAMESPACE = "stylevar-hf"
SOURCE_CODE = "https://github.com/Senfier-LiqiJing/StyleVAR"
_MEASURED = "measured"
_BUNDLED = Path(bundled_checkpoint())

# arXiv 2604.21052: AdaIN, the supervised and the reinforced model, on one A100 at 256x256.
_METRICS = ("style_loss", "content_loss", "lpips", "ssim", "dreamsim", "clip_similarity", "seconds_per_image")
_PAPER = {
    "OmniStyle": {
        "AdaIN": (0.0625, 198.3, 0.7506, 0.1421, 0.6522, 0.6555, 0.0079),
        "SFT": (0.0468, 116.4, 0.4743, 0.3975, 0.2276, 0.8704, 0.4031),
        "GRPO": (0.0466, 114.6, 0.4656, 0.4024, 0.2164, 0.8740, 0.4031),
    },
    "ImagePulse": {
        "AdaIN": (0.0735, 223.5, 0.7802, 0.1574, 0.6958, 0.5651, 0.0029),
        "SFT": (0.0452, 180.8, 0.5618, 0.4282, 0.3168, 0.7903, 0.4031),
        "GRPO": (0.0387, 182.1, 0.5572, 0.4320, 0.2979, 0.8000, 0.4031),
    },
    "COCO+WikiArt": {
        "AdaIN": (0.0282, 171.1, 0.7688, 0.1985, 0.7536, 0.5319, 0.0027),
        "SFT": (0.0206, 160.1, 0.7398, 0.2713, 0.6986, 0.5308, 0.4031),
        "GRPO": (0.0199, 157.5, 0.7286, 0.2677, 0.6793, 0.5335, 0.4031),
    },
}
_PAPER_TEXT = (
    "**The figures are the paper's own** ([arXiv 2604.21052](https://arxiv.org/abs/2604.21052)), measured by its "
    "authors with their code on one A100. They were not measured again with this package. Their code stores keys and "
    "values twice while it generates; `model.config.legacy_kv_duplication = True` does the same. Style loss: Gram "
    "matrices of VGG-19 against the style; content loss: VGG-19 against the content; the others against the target "
    "or, on COCO+WikiArt, which has none, against the content, where doing nothing would win."
)
_WEIGHTS_LICENCE = (
    "The weights keep the licence of the files that they were converted from. The published code is called Apache-2.0 "
    "in its README and MIT in its LICENSE file, and nothing is said about the weights: ask the authors before you "
    "publish them."
)
_MINI_LIMITS = (
    "It is small and was trained on pictures that a program draws: it shows how the method behaves, and is no tool "
    "for photographs.",
)


def paper_results(system: str) -> list[Result]:
    """The results of arXiv 2604.21052: the numbers of `"SFT"` or `"GRPO"`, and AdaIN's beside them."""
    source = {"source": "StyleVAR paper", "source_url": PAPER_URL}
    ids = {"OmniStyle": DATA_SOURCES["omnistyle"].hub_id}
    return [
        Result(dataset, metric, value, system=None if name == system else name, dataset_id=ids.get(dataset), **source)
        for dataset, rows in _PAPER.items()
        for name in (system, "AdaIN")
        for metric, value in zip(_METRICS, rows[name], strict=True)
    ]


def published_cards(folder: Path, namespace: str = NAMESPACE) -> dict[str, ModelCard]:
    """
    Every card of `model_cards/`, by its name.

    Args:
        folder (`Path`):
            `model_cards`, with what was measured.
        namespace (`str`, *optional*, defaults to `"stylevar-hf"`):
            Where the models are on the Hub.

    Returns:
        `dict[str, ModelCard]`
    """
    facts = [*_mini_facts(folder / _MEASURED, namespace), *_official_facts(namespace)]
    return {one.name: make_card(one) for one in facts}


def _mini_facts(measured: Path, namespace: str) -> list[CardFacts]:
    config = StyleVARConfig.from_pretrained(_BUNDLED) if (_BUNDLED / "config.json").is_file() else None
    mini = f"{namespace}/stylevar-mini"
    common = CardFacts(
        name="",
        image_size=128 if config is None else config.image_size,
        architecture={} if config is None else architecture_facts(config),
        license="apache-2.0",
        license_text="The weights are Apache-2.0.",
        data=[DATA_SOURCES["procedural"]],
        limits=_MINI_LIMITS,
    )
    models = (
        (
            "stylevar-mini",
            "model",
            None,
            "A small StyleVAR, trained from nothing in two stages; ships with the package.",
        ),
        ("stylevar-mini-grpo", "model", mini, "stylevar-mini after GRPO with PANW (arXiv 2601.02256)."),
        (
            "stylevar-mini-grpo-lora",
            "adapter",
            mini,
            "The adapter that makes stylevar-mini-grpo of stylevar-mini: GRPO with PANW (arXiv 2601.02256).",
        ),
    )
    facts = []
    for name, kind, base, summary in models:
        # An adapter's figures are those of the model that it was merged into.
        merged = name.removesuffix("-lora")
        training, results = measured / f"{merged}.training.json", measured / f"{merged}.results.json"
        facts.append(
            replace(
                common,
                name=name,
                kind=kind,
                repo_id=f"{namespace}/{name}",
                summary=summary,
                base_model=base,
                training=read_json(training) if training.is_file() else {},
                results=read_results(results, model=merged),
                results_text=f"Measured with the adapter merged, as {merged}." if merged != name else "",
                tags=["grpo"] if "grpo" in name else [],
            )
        )
    return facts


def _official_facts(namespace: str) -> list[CardFacts]:
    config = StyleVARConfig()
    supervised = CardFacts(
        name="stylevar-sft",
        image_size=config.image_size,
        repo_id=f"{namespace}/stylevar-sft",
        summary="The authors' supervised model, converted from `StyleVAR_SFT.pth` and `vae_ch160v4096z32.pth` by "
        "`stylevar convert`. The conversion changes names and layout only.",
        architecture=architecture_facts(config),
        license="other",
        license_name="see-source-weights",
        license_link=SOURCE_CODE,
        license_text=_WEIGHTS_LICENCE,
        data=[DATA_SOURCES["omnistyle"], DATA_SOURCES["imagepulse"]],
        training={
            "trained by": f"the authors, with their code ({SOURCE_CODE})",
            "start": "vanilla VAR, depth 20",
            "length": "10 epochs, batch 128",
            "learning rate": "5e-4, 1e-4 from epoch 7",
            "blend weights": "not stored in the files; the supervised weights were probably trained with the schedule "
            "`released-sft`, the published inference uses `default`",
        },
        results=paper_results("SFT"),
        results_text=_PAPER_TEXT,
    )
    reinforced = replace(
        supervised,
        name="stylevar-grpo",
        repo_id=f"{namespace}/stylevar-grpo",
        summary="The authors' model after reinforcement, converted from `StyleVAR-GRPO.pth` and "
        "`vae_ch160v4096z32.pth` by `stylevar convert`. The conversion changes names and layout only.",
        base_model=f"{namespace}/stylevar-sft",
        training={
            "trained by": f"the authors, with their code ({SOURCE_CODE})",
            "rewards": "-5 DreamSim",
            "rollouts per prompt": 16,
            "KL coefficient": 0.1,
            "weights of the tokens": "PANW, gamma 0.7",
            "adapter": "LoRA of rank 256, alpha 512, merged",
            "learning rate": "1e-5",
        },
        results=paper_results("GRPO"),
        tags=["grpo"],
    )
    return [supervised, reinforced]


def main(argv: Sequence[str] | None = None) -> int:
    """Writes the cards, or with `--check` says which are out of date. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m stylevar_hf.hub.published_cards", description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("model_cards"), help="the folder of the cards")
    parser.add_argument("--namespace", default=NAMESPACE, help="where the models are on the Hub")
    parser.add_argument("--check", action="store_true", help="write nothing, exit with 1 if a card is out of date")
    args = parser.parse_args(argv)
    outdated = []
    for name, card in published_cards(args.output, args.namespace).items():
        path = args.output / f"{name}.md"
        if path.is_file() and path.read_text(encoding="utf-8") == str(card):
            continue
        outdated.append(path)
        if not args.check:
            write_atomically(path, str(card))
    sys.stdout.write("".join(f"{path}\n" for path in outdated))
    return int(args.check and bool(outdated))


__all__ = ["NAMESPACE", "main", "paper_results", "published_cards"]


if __name__ == "__main__":
    sys.exit(main())
