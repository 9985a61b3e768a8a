# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The one generator of model cards."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from huggingface_hub import ModelCard, ModelCardData

from .data_sources import DataSource
from .results import Result, metric_ids, results_table, to_eval_results


# Where a card speaks of its own repository before that has a name; publishing puts the name in.
PLACEHOLDER = "path/to/this/folder"
TAGS = ("stylevar", "style-transfer", "visual-autoregression", "arxiv:2604.21052")
NOT_MEASURED = "Not measured."
# What publishing replaces when a folder's card meets newer results.
EVALUATION_START, EVALUATION_END = "<!-- evaluation -->", "<!-- end of evaluation -->"

CITATION = """@article{jing2026stylevar,
  title   = {StyleVAR: Controllable Image Style Transfer via Visual Autoregressive Modeling},
  author  = {Jing, Liqi and Zhang, Dingming and Li, Peinian and Zhu, Lichen},
  journal = {arXiv preprint arXiv:2604.21052},
  year    = {2026}
}"""

_PIPELINE_USE = """from stylevar_hf import StyleVARPipeline

pipe = StyleVARPipeline.from_pretrained("{repo_id}")
image = pipe("content.jpg", "style.jpg", seed=0)
image.save("stylized.png")"""

_REMOTE_CODE_USE = """import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoModel

model = AutoModel.from_pretrained("{repo_id}", trust_remote_code=True)
processor = AutoImageProcessor.from_pretrained("{repo_id}", trust_remote_code=True)
content, style = (
    processor(Image.open(name), return_tensors="pt").pixel_values for name in ("content.jpg", "style.jpg")
)
output = model.generate(content, style, generator=torch.Generator().manual_seed(0))
processor.postprocess(output.pixel_values)[0].save("stylized.png")"""

# Without `adapter_kwargs`, `AutoModel` would find the adapter at the root and load its base from there.
_MERGED_USE = """from transformers import AutoModel

from stylevar_hf import StyleVARPipeline

pipe = StyleVARPipeline.from_pretrained("{repo_id}", subfolder="merged")
model = AutoModel.from_pretrained(  # without stylevar-hf
    "{repo_id}", subfolder="merged", adapter_kwargs={{"subfolder": "merged"}}, trust_remote_code=True
)"""

_TOKENIZER_USE = """from stylevar_hf import StyleVARVQModel

vq_model = StyleVARVQModel.from_pretrained("{repo_id}")
codes = vq_model.encode(pixel_values).codes  # pixels (batch, 3, height, width) in [-1, 1]
pixel_values = vq_model.decode(codes)"""


@dataclass
class CardFacts:
    """
    What a card says. Whatever is not known stays empty, and its line is left out or says so.

    Args:
        name (`str`):
            Title.
        image_size (`int`, *optional*):
            Side of the pictures in pixels.
        kind (`str`, *optional*, defaults to `"model"`):
            `"model"`, `"adapter"` (LoRA) or `"tokenizer"` (VQ-VAE alone).
        repo_id (`str`, *optional*):
            `user/name` on the Hub, for the usage code.
        summary (`str`, *optional*):
            A paragraph below the title.
        architecture (`Mapping[str, object]`, *optional*):
            Sizes, by their names.
        base_model (`str`, *optional*):
            The repository that it was trained from. A local path is not named in the metadata.
        license, license_name, license_link (`str`, *optional*):
            As in the Hub's metadata.
        license_text (`str`, *optional*):
            A paragraph on the licence.
        data (`Sequence[DataSource]`, *optional*):
            The training data.
        training (`Mapping[str, object]`, *optional*):
            Options and lengths of the training.
        environment (`Mapping[str, str]`, *optional*):
            Hardware, versions, commit.
        results (`Sequence[Result]`, *optional*):
            The evaluation.
        results_text (`str`, *optional*):
            A paragraph above its table.
        limits (`Sequence[str]`, *optional*):
            Limits besides those of all models of the family.
        tags (`Sequence[str]`, *optional*):
            More tags.
        merged (`bool`, *optional*, defaults to `False`):
            Whether an adapter has its merged weights beside it.
    """

    name: str
    image_size: int | None
    kind: str = "model"
    repo_id: str | None = None
    summary: str = ""
    architecture: Mapping[str, object] = field(default_factory=dict)
    base_model: str | None = None
    license: str | None = None
    license_name: str | None = None
    license_link: str | None = None
    license_text: str = ""
    data: Sequence[DataSource] = ()
    training: Mapping[str, object] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    results: Sequence[Result] = ()
    results_text: str = ""
    limits: Sequence[str] = ()
    tags: Sequence[str] = ()
    merged: bool = False


def make_card(facts: CardFacts) -> ModelCard:
    """
    The card of a model, an adapter or a tokenizer.

    Args:
        facts ([`CardFacts`]):
            What is known.

    Returns:
        `huggingface_hub.ModelCard`
    """
    sections = [
        f"# {facts.name}\n",
        _introduction(facts),
        _usage(facts),
        _list("Model", facts.architecture),
        _training(facts),
        evaluation_section(facts.results, facts.results_text) if facts.kind != "tokenizer" or facts.results else "",
        _limits(facts),
        _licence(facts),
        f"## Citation\n\nStyleVAR is the work of its authors; please cite them:\n\n```bibtex\n{CITATION}\n```\n",
    ]
    text = "\n".join(section for section in sections if section)
    return ModelCard(f"---\n{_metadata(facts).to_yaml()}\n---\n\n{text}")


def with_results(card: ModelCard, results: Sequence[Result]) -> ModelCard:
    """A card with its evaluation replaced, in text and metadata; without the marks of our cards, in metadata alone."""
    card = ModelCard(str(card))
    pattern = re.escape(EVALUATION_START) + r".*?" + re.escape(EVALUATION_END) + r"\n?"
    section = evaluation_section(results)
    card.text = re.sub(pattern, lambda _: section, card.text, flags=re.DOTALL)
    card.data.model_name = card.data.get("model_name") or _title(card)
    card.data.eval_results = to_eval_results(results)
    card.data.metrics = metric_ids(results) or None
    return card


def with_repo_id(card: ModelCard, repo_id: str) -> ModelCard:
    """A card that was written before its repository had a name, with the name."""
    return ModelCard(str(card).replace(PLACEHOLDER, repo_id))


def _title(card: ModelCard) -> str:
    heading = re.search(r"^# (.+)$", card.text, re.MULTILINE)
    return heading[1].strip() if heading else "StyleVAR"


def _metadata(facts: CardFacts) -> ModelCardData:
    datasets = [source.hub_id for source in facts.data if source.hub_id]
    return ModelCardData(
        library_name="peft" if facts.kind == "adapter" else "transformers",
        pipeline_tag="image-to-image",
        license=facts.license,
        license_name=facts.license_name,
        license_link=facts.license_link,
        base_model=facts.base_model if is_repository(facts.base_model) else None,
        base_model_relation="adapter" if facts.kind == "adapter" and is_repository(facts.base_model) else None,
        datasets=datasets or None,
        metrics=metric_ids(facts.results) or None,
        tags=list(dict.fromkeys([*TAGS, *(["lora"] if facts.kind == "adapter" else []), *facts.tags])),
        model_name=facts.name if facts.results else None,
        eval_results=to_eval_results(facts.results) or None,
    )


def is_repository(name: str | None) -> bool:
    """Whether a model's name means something to others: an id on the Hub, and no folder of this machine."""
    return bool(name) and re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name) is not None and not os.path.exists(name)


def _introduction(facts: CardFacts) -> str:
    what = {
        "model": "reference-based style transfer by visual autoregression",
        "adapter": "a LoRA adapter for reference-based style transfer",
        "tokenizer": "the multi-scale VQ-VAE of a style-transfer model",
    }[facts.kind]
    what += f", {_size(facts)} pixels" if facts.image_size else ""
    text = f"StyleVAR ([arXiv 2604.21052](https://arxiv.org/abs/2604.21052)): {what}.\n"
    if facts.kind == "adapter":
        base = f"`{facts.base_model}`" if is_repository(facts.base_model) else "the model that it was trained on"
        text += f"It works on {base} and on nothing else.\n"
    return text + (f"\n{facts.summary}\n" if facts.summary else "")


def _usage(facts: CardFacts) -> str:
    repo_id = facts.repo_id or PLACEHOLDER
    if facts.kind == "tokenizer":
        return f"## Use\n\n{_code(_TOKENIZER_USE, repo_id)}"
    parts = [f"## Use\n\nWith `stylevar-hf`:\n\n{_code(_PIPELINE_USE, repo_id)}"]
    if facts.kind == "model":
        parts.append(
            "With transformers alone; `trust_remote_code` runs the source files of this repository:\n\n"
            + _code(_REMOTE_CODE_USE, repo_id)
        )
    else:
        parts.append("The base model is found by its name in `adapter_config.json`; this needs `peft`.\n")
    if facts.merged:
        parts.append(f"The folder `merged` holds base and adapter in one:\n\n{_code(_MERGED_USE, repo_id)}")
    parts.append("`content.jpg` keeps its content and takes the style of `style.jpg`; both are files of yours.\n")
    return "\n".join(parts)


def _code(template: str, repo_id: str) -> str:
    return f"```python\n{template.format(repo_id=repo_id)}\n```\n"


def _list(title: str, facts: Mapping[str, object]) -> str:
    lines = "".join(f"* {name}: {value}\n" for name, value in facts.items() if value not in (None, ""))
    return f"## {title}\n\n{lines}" if lines else ""


def _training(facts: CardFacts) -> str:
    known = dict(facts.training)
    if facts.data:
        known = {"data": "; ".join(source.name for source in facts.data), **known}
    if facts.base_model:
        known = {"start": f"`{facts.base_model}`" if is_repository(facts.base_model) else "a local model", **known}
    return _list("Training", {**known, **facts.environment})


def evaluation_section(results: Sequence[Result], text: str = "") -> str:
    """The section between its marks; without results it says that nothing was measured."""
    body = results_table(results) if results else f"{NOT_MEASURED}\n"
    if any(result.low is not None for result in results):
        body += "\nMeans with 95% intervals.\n"
    paragraph = f"{text}\n\n" if text else ""
    return f"{EVALUATION_START}\n## Evaluation\n\n{paragraph}{body}{EVALUATION_END}\n"


def _size(facts: CardFacts) -> str:
    return f"{facts.image_size}x{facts.image_size}"


def _limits(facts: CardFacts) -> str:
    size = f"{_size(facts)} pixels" if facts.image_size else "pictures of its base's size"
    limits = [
        f"It paints {size}. Pictures are stretched to a square unless the image processor's `resize_mode` says "
        "otherwise, and a larger output is enlarged, not more detailed.",
        "Faces, hands and text may come out distorted; do not use it where a person must stay recognisable, nor to "
        "pass a painted face off as a photograph.",
        "It was not made for photographs from the internet in general: contents and styles unlike the training data "
        "come out worse, with broken structure or the wrong colours.",
        "It has no filter: it paints whatever it is given. The rights in content and style stay with their owners.",
        *facts.limits,
    ]
    if facts.kind == "tokenizer":
        limits = [
            f"It was made for {_size(facts)} pixels; faces and text lose the most in reconstruction.",
            *facts.limits,
        ]
    return "## Limits\n\n" + "".join(f"* {limit}\n" for limit in limits)


def _licence(facts: CardFacts) -> str:
    if facts.license_text:
        weights = facts.license_text
    elif facts.license == "other" and not facts.license_name:
        weights = "The weights have a licence of their own."
    elif facts.license:
        weights = f"The weights: {facts.license_name or facts.license}."
    else:
        weights = "No licence has been stated for the weights."
    terms = "".join(f"* {source.name}: {source.terms}\n" for source in facts.data)
    data = f"\nThe training data have terms of their own:\n\n{terms}" if terms else ""
    return f"## Licence\n\n{weights} The source files (`*.py`) are Apache-2.0.\n{data}"


__all__ = [
    "CITATION",
    "NOT_MEASURED",
    "PLACEHOLDER",
    "TAGS",
    "CardFacts",
    "evaluation_section",
    "is_repository",
    "make_card",
    "with_repo_id",
    "with_results",
]
