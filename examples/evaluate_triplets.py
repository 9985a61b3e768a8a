# Copyright 2026 The stylevar-hf authors.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
"""
How well a checkpoint transfers style: tables with controls and intervals, and galleries to look at.

    python examples/evaluate_triplets.py --model bundled --dataset procedural --num_pairs 200 --output evaluation
    python examples/evaluate_triplets.py --model runs/sft --dataset saved/validation --device cuda --output evaluation

Writes `report.json`, `report.md`, one `gallery_<set>.png` per set and `gallery_strength.png` to the output folder.
"""

import argparse
import sys
from pathlib import Path

import stylevar_hf
from stylevar_hf import StyleVARPipeline, bundled_checkpoint
from stylevar_hf.evaluation import (
    evaluate_identity,
    evaluate_reconstruction,
    evaluate_strength,
    evaluate_triplets,
    make_gallery,
    save_gallery,
)


SPLITS = ("in_distribution", "near_distribution", "out_of_distribution")
STRENGTHS = (-1, 0, 1)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--model", default="bundled", help="folder or Hub id of a checkpoint, or 'bundled'")
    parser.add_argument(
        "--dataset",
        default="procedural",
        help="'procedural' for its three test splits, or a folder made by `Dataset.save_to_disk` with the columns "
        "content, style and target",
    )
    parser.add_argument("--num_pairs", type=int, default=200, help="pairs per set")
    parser.add_argument(
        "--num_checks", type=int, default=64, help="pairs per set for strength, style = content and reconstruction"
    )
    parser.add_argument("--output", required=True, help="folder for the report and the galleries")
    parser.add_argument("--batch_size", type=int, default=8, help="images to draw at once")
    parser.add_argument("--seed", type=int, default=0, help="of the drawing, the swap and the intervals")
    parser.add_argument("--data_seed", type=int, default=0, help="of the procedural triplets")
    parser.add_argument(
        "--device", default=None, help="where the model runs; the first accelerator or the CPU if unset"
    )
    parser.add_argument("--dtype", default="auto", help="precision of the transformer, such as float32")
    parser.add_argument("--gallery_rows", type=int, default=8, help="pairs per gallery")
    parser.add_argument("--cell_size", type=int, default=192, help="side of a picture in the galleries, in pixels")
    return parser.parse_args()


def load_sets(args: argparse.Namespace, image_size: int) -> dict:
    if args.dataset == "procedural":
        from stylevar_hf.data.procedural import load_procedural

        return {
            split: load_procedural(args.num_pairs, split=split, seed=args.data_seed, image_size=image_size)
            for split in SPLITS
        }
    from datasets import load_from_disk

    return {Path(args.dataset).name: first_pairs(load_from_disk(args.dataset), args.num_pairs)}


def first_pairs(dataset, count: int):
    return dataset.select(range(min(count, len(dataset))))


def load_pictures(args: argparse.Namespace, sets: dict) -> dict:
    """What the tokenizer is to reconstruct, by name."""
    pictures = {
        f"{column}s, {name.replace('_', ' ')}": first_pairs(triplets, args.num_checks)[column]
        for name, triplets in sets.items()
        for column in ("content", "style", "target")
    }
    if args.dataset == "procedural":
        held_out = sets["near_distribution"]
        rows = [i for i, name in enumerate(held_out["content_id"]) if not name.startswith("scene-")]
        if rows:
            pictures["held-out photographic crops"] = first_pairs(held_out.select(rows), args.num_checks)["content"]
    return pictures


def main() -> None:
    args = parse_arguments()
    path = bundled_checkpoint() if args.model == "bundled" else args.model
    pipe = StyleVARPipeline.from_pretrained(path, device=args.device, dtype=args.dtype)
    sets = load_sets(args, pipe.model.config.image_size)
    first = next(iter(sets.values()))
    output = Path(args.output)
    common = {"batch_size": args.batch_size, "seed": args.seed, "progress": True}

    # 1. Look
    painting = {"num_rows": args.gallery_rows, "batch_size": args.batch_size, "seed": args.seed}
    drawing = {"cell_size": args.cell_size}
    for name, triplets in sets.items():
        columns = make_gallery(pipe, triplets, reinhard=True, **painting)
        save_gallery(output / f"gallery_{name}.png", columns, title=name.replace("_", " "), **drawing)
    columns = make_gallery(pipe, first, strengths=STRENGTHS, **painting)
    del columns["output"]  # strength 0
    save_gallery(output / "gallery_strength.png", columns, **drawing)

    # 2. Measure
    report = evaluate_triplets(pipe, sets, **common)
    report.settings = {
        "model": args.model,
        "dataset": args.dataset,
        "data_seed": args.data_seed,
        "stylevar-hf": stylevar_hf.__version__,
        **report.settings,
    }
    report.strength = evaluate_strength(pipe, first_pairs(first, args.num_checks), strengths=STRENGTHS, **common)
    for name, triplets in sets.items():
        contents = first_pairs(triplets, args.num_checks)["content"]
        report.identity[f"contents, {name.replace('_', ' ')}"] = evaluate_identity(pipe, contents, **common)
    for name, pictures in load_pictures(args, sets).items():
        report.reconstruction[name] = evaluate_reconstruction(pipe, pictures, **common)
    for file in report.save(output):
        sys.stdout.write(f"{file}\n")


if __name__ == "__main__":
    main()
