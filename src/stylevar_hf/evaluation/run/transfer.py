# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Content retrieval, style retrieval and the style distance covered, see [`stylevar_hf.measures.transfer`]."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import PIL.Image
import torch
from tqdm import tqdm

from ..._common.errors import WeightsUnavailable
from ...measures.transfer import (
    TransferFeatures,
    content_descriptors,
    content_similarities,
    gram_matrices,
    retrieval_probability,
    style_descriptors,
    style_distance_covered,
    style_features,
    style_similarities,
)
from ...measures.vgg import VGG19_FILE
from ...measures.weights import find_weights
from ..measures import TRANSFER_MEASURES
from ..pairs import PairSet
from ..run_folder import RunFolder
from ..systems import System
from .measuring import UNREADABLE, Jobs, store_values, stored_values


TRANSFER_WEIGHTS = "transfer"  # the name by which weights are handed over


def find_transfer_weights(weights: str | None) -> list[Path]:
    """
    The files of VGG-19 that were handed over, one or a folder of them, or torchvision's.

    Raises:
        WeightsUnavailable: If there is none.
    """
    if weights is None:
        return [find_weights(VGG19_FILE, f"What measures {', '.join(TRANSFER_MEASURES)}", option=None)]
    place = Path(weights).expanduser()
    if not place.is_dir():
        return [place]
    found = sorted(
        path for path in place.iterdir() if "vgg19" in path.name and path.suffix in (".safetensors", ".pth")
    )
    if not found:
        raise WeightsUnavailable(
            f"The measures {', '.join(TRANSFER_MEASURES)} need weights of VGG-19, but {weights} holds no file named "
            "vgg19*.safetensors or vgg19*.pth."
        )
    return found


def measure_transfer(
    folder: RunFolder,
    all_pairs: Sequence[tuple[PairSet, Jobs]],
    names: Sequence[str],
    weights: str | None,
    device: str | None,
    batch_size: int,
    bar: tqdm,
) -> str | None:
    """
    The measures of all sets and systems that are not stored yet.

    Returns:
        `str`, *optional*: Why they could not be computed, if they could not.
    """
    todo = []
    for pairs, jobs in all_pairs:
        missing = [
            (system, rows)
            for system, rows in jobs
            if any(stored_values(folder, pairs, system, name, weights) is None for name in names)
        ]
        bar.update(sum(len(rows) for _, rows in jobs) - sum(len(rows) for _, rows in missing))
        if missing:
            todo.append((pairs, missing))
    if not todo:
        return None
    try:
        network = TransferFeatures(find_transfer_weights(weights)).to(device or "cpu")
        for pairs, jobs in todo:
            references = _References(network, pairs, batch_size)
            for system, rows in jobs:
                values = references.judge(folder, system, rows, bar)
                # Nothing can be found among one.
                finite = {name: values[name] for name in names if np.isfinite(values[name]).all()}
                store_values(folder, pairs, system, finite, weights)
    except (WeightsUnavailable, ValueError, FileNotFoundError) as error:
        return " ".join(str(error).split())
    except torch.OutOfMemoryError:
        return "out of memory; go on with a smaller batch size, or on the CPU"
    except UNREADABLE as error:
        return f"the weights could not be read: {' '.join(str(error).split())[:200]}"
    return None


class _References:
    """What is known of the contents and styles of a set, so that each goes through the network once."""

    def __init__(self, network: TransferFeatures, pairs: PairSet, batch_size: int):
        self.network, self.pairs, self.batch_size = network, pairs, batch_size
        contents, styles, self.content_grams, self.style_grams = [], [], [], []
        with torch.inference_mode():
            for rows in self._batches(range(len(pairs))):
                content, style = self._images(pairs.pictures("content", rows)), pairs.pictures("style", rows)
                contents.append(content_descriptors(network, content).cpu())
                self.content_grams += _rows(gram_matrices(style_features(network, content)))
                features = style_features(network, self._images(style))
                styles.append(style_descriptors(features).cpu())
                self.style_grams += _rows(gram_matrices(features))
        self.contents, self.styles = torch.cat(contents), torch.cat(styles)
        style_ids = pairs.benchmark.style_ids
        self.content_groups = pairs.benchmark.content_ids
        self.style_groups = [_digest(pairs, row) for row in range(len(pairs))] if style_ids is None else style_ids

    @torch.inference_mode()
    def judge(self, folder: RunFolder, system: System, rows: Sequence[int], bar: tqdm) -> dict[str, list[float]]:
        """The values of the rows of a system, by the names of the measures."""
        to_contents, to_styles, covered = [], [], []
        for chunk in self._batches(rows):
            outputs = self._images([folder.load_output(self.pairs.name, system.name, row) for row in chunk])
            descriptors = content_descriptors(self.network, outputs).cpu()
            to_contents.append(content_similarities(descriptors, self.contents))
            features = style_features(self.network, outputs)
            to_styles.append(style_similarities(style_descriptors(features).cpu(), self.styles))
            grams = [layer.cpu() for layer in gram_matrices(features)]
            contents, styles = (_stack([one[row] for row in chunk]) for one in (self.content_grams, self.style_grams))
            covered += style_distance_covered(grams, contents, styles).tolist()
            bar.update(len(chunk))
        return {
            "content_retrieval": retrieval_probability(torch.cat(to_contents), rows, self.content_groups),
            "style_retrieval": retrieval_probability(torch.cat(to_styles), rows, self.style_groups),
            "style_covered": covered,
        }

    def _batches(self, rows: Sequence[int]) -> Iterator[list[int]]:
        for start in range(0, len(rows), self.batch_size):
            yield list(rows[start : start + self.batch_size])

    def _images(self, pictures: Sequence[PIL.Image.Image]) -> torch.Tensor:
        device = next(self.network.parameters()).device
        array = np.stack([np.asarray(picture.convert("RGB")) for picture in pictures])
        return torch.from_numpy(array).to(device).permute(0, 3, 1, 2).float() / 255


def _rows(grams: Sequence[torch.Tensor]) -> list[list[torch.Tensor]]:
    """Layers of batches to pictures of layers, in memory."""
    return [list(one) for one in zip(*(layer.cpu() for layer in grams), strict=True)]


def _stack(pictures: Sequence[Sequence[torch.Tensor]]) -> list[torch.Tensor]:
    """Pictures of layers to layers of batches."""
    return [torch.stack(layer) for layer in zip(*pictures, strict=True)]


def _digest(pairs: PairSet, row: int) -> str:
    return hashlib.sha256(pairs.pictures("style", [row])[0].tobytes()).hexdigest()


__all__ = ["TRANSFER_WEIGHTS", "find_transfer_weights", "measure_transfer"]
