# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The controls of `stylevar stylize`: colours, strength by scale and place, blends, masks, sizes, candidates."""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .base import number


if TYPE_CHECKING:
    from ..pipeline_stylevar import StyleVARPipeline


# What the command line calls the arguments of the Python API, for its error messages.
FLAGS = {
    "keep_colors": "--keep-colors",
    "strength_per_scale": "--strength-per-scale",
    "strength_map": "--strength-map",
    "mask": "--mask",
    "masks": "--style-masks",
    "weights": "--blend",
    "mask_feather": "--mask-feather",
    "paint_size": "--paint-size",
    "fit": "--fit",
    "num_candidates": "--best-of",
    "rank_by": "--rank-by",
    "steadiness": "--steadiness",
    "num_images": "--num-images",
}


def add_control_arguments(parser: argparse.ArgumentParser) -> None:
    controls = parser.add_argument_group("controls", "what each does: docs/controls.md")
    unit = number(float, "in [0, 1]", lambda x: 0 <= x <= 1)
    strength = number(float, "in [-1, 1]", lambda x: -1 <= x <= 1)
    count = number(int, "a positive integer", lambda n: n >= 1)
    controls.add_argument(
        "--keep-colors",
        type=unit,
        default=0.0,
        metavar="X",
        help="1: the content's colours; 0: the style's (default: 0)",
    )
    scales = controls.add_mutually_exclusive_group()
    scales.add_argument(
        "--strength-per-scale",
        type=strength,
        nargs="+",
        metavar="X",
        help="added to --style-strength, one number per scale, coarse (layout, palette) to fine (strokes)",
    )
    scales.add_argument(
        "--preset", choices=("palette", "strokes", "layout"), help="strengths per scale that have a name"
    )
    controls.add_argument(
        "--strength-map", metavar="FILE", help="added at each place: a grey picture, black -1, white 1, mid-grey 0"
    )
    weight = number(float, "a number of at least 0", lambda x: 0 <= x < float("inf"))
    controls.add_argument(
        "--blend", type=weight, nargs="+", metavar="W", help="blend the STYLEs into one, with these weights"
    )
    controls.add_argument(
        "--style-masks", nargs="+", metavar="FILE", help="blend the STYLEs, each where its picture is white"
    )
    controls.add_argument("--mask", metavar="FILE", help="paint where it is white; the rest stays as it is")
    controls.add_argument(
        "--mask-feather",
        type=number(int, "an integer in [0, 512]", lambda n: 0 <= n <= 512),
        default=8,
        metavar="N",
        help="pixels over which the painting fades in (default: 8)",
    )
    controls.add_argument(
        "--fit",
        choices=("pad", "crop", "stretch"),
        default="pad",
        help="how a CONTENT that is no square is made to fit; stretch is as published (default: pad)",
    )
    controls.add_argument(
        "--paint-size",
        type=count,
        metavar="N",
        help="paint the whole content with its short side at N pixels, on windows of one canvas",
    )
    controls.add_argument("--best-of", type=count, default=1, metavar="N", help="draw N images, keep the best")
    controls.add_argument(
        "--rank-by", metavar="REWARD", help="what tells the best: ssim, color-statistics, clip, module:function, ..."
    )
    controls.add_argument(
        "--steadiness",
        type=unit,
        default=0.5,
        metavar="X",
        help="of a film: how readily a place stays as in the frame before (default: 0.5)",
    )


def is_blend(args: argparse.Namespace) -> bool:
    return args.blend is not None or args.style_masks is not None


def check_control_arguments(args: argparse.Namespace) -> None:
    """What can be said before a model is loaded. Raises `ValueError`."""
    for flag, values in (("--blend", args.blend), ("--style-masks", args.style_masks)):
        if values is not None and len(values) != len(args.style):
            raise ValueError(
                f"{flag} must have one value per STYLE ({len(args.style)}), but got {len(values)}. Match them."
            )
    if args.blend is not None and not sum(args.blend) > 0:
        raise ValueError("--blend must have a weight above 0, but got none. Raise that of one style.")
    if (args.best_of > 1) != (args.rank_by is not None):
        raise ValueError("--best-of N and --rank-by go together. Say how many to draw, and what tells the best.")
    if args.best_of > 1 and args.best_of < args.num_images:
        raise ValueError(f"--best-of must be at least --num-images ({args.num_images}), but got {args.best_of}.")
    if args.greedy and args.best_of > 1:
        raise ValueError("--greedy gives one image per pair: there is nothing to choose from. Leave out --best-of.")
    if args.mask or args.strength_map or args.style_masks:
        from ..controls_stylevar import read_mask, read_strength_map

        for index, mask in enumerate(args.style_masks or ()):
            read_mask(mask, f"--style-masks {index + 1}")
        if args.mask:
            read_mask(args.mask, "mask")
        if args.strength_map:
            read_strength_map(args.strength_map)


def check_against_model(args: argparse.Namespace, pipe: "StyleVARPipeline") -> None:
    """What depends on the model. Raises `ValueError`."""
    from ..canvas_stylevar import check_paint_size
    from ..controls_stylevar import scale_strengths
    from ..pipeline_inputs_stylevar import load_ranker

    if args.strength_per_scale is not None:
        scale_strengths(args.strength_per_scale, pipe.model.config.num_scales)
    if args.paint_size is not None:
        check_paint_size(args.paint_size, pipe.model.config.image_size)
    load_ranker(args.rank_by, args.best_of, args.num_images)


def control_options(args: argparse.Namespace) -> dict[str, Any]:
    """The arguments of the pipeline's call that are controls."""
    return {
        "keep_colors": args.keep_colors,
        "strength_per_scale": args.preset or args.strength_per_scale,
        "strength_map": args.strength_map,
        "mask": args.mask,
        "mask_feather": args.mask_feather,
        "fit": args.fit,
        "paint_size": args.paint_size,
    }


def report_controls(args: argparse.Namespace, film: bool = False) -> dict[str, Any]:
    """The controls in use, for `--json`."""
    controls = {**control_options(args), "style_strength": args.style_strength, "output_size": args.output_size}
    controls.update(blend=args.blend, style_masks=args.style_masks)
    controls.update({"steadiness": args.steadiness} if film else {"best_of": args.best_of, "rank_by": args.rank_by})
    return controls


def blend(pipe: "StyleVARPipeline", styles: Sequence[Any], args: argparse.Namespace) -> Any:
    return pipe.blend_styles(styles, args.blend, args.style_masks, fit=args.fit)
