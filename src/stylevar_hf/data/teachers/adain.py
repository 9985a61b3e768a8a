# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
AdaIN (Huang and Belongie 2017, arXiv 1703.06868), the baseline of the paper, with the encoder that its decoder was
trained with: not torchvision's VGG-19 but the "normalised" one, whose first layer is a 1 x 1 convolution that maps
RGB in [0, 1] to what the network expects, with reflection padding before each 3 x 3 convolution and pooling that
rounds up.

```python
convert_adain_checkpoint("vgg_normalised.pth", "decoder.pth", "adain")  # the files of naoto0804/pytorch-AdaIN
model = AdaINModel.from_pretrained("adain")
images = model(contents, styles).images                                 # (B, 3, H, W) in [0, 1]
```
"""

import hashlib
import os
import pickle
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL.Image
import torch
from huggingface_hub.dataclasses import strict
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.utils import ModelOutput

from ..._common.errors import invalid, listed
from ...image_processing_stylevar import load_image
from .base import TeacherUnavailable, check_pairs


# Layers by kind: the output channels of a 3 x 3 convolution (after reflection padding, before a ReLU), or a change of
# size. The place of each torch module in the published files follows from these.
ENCODER_LAYERS = (64, 64, "down", 128, 128, "down", 256, 256, 256, 256, "down", 512)  # conv1_1 to conv4_1
UNUSED_ENCODER_LAYERS = (512, 512, 512, "down", 512, 512, 512, 512)  # conv4_2 to conv5_4: in the file, read by nobody
DECODER_LAYERS = (256, "up", 256, 256, 256, 128, "up", 128, 64, "up", 64, 3)
FEATURE_CHANNELS = 512
STRIDE = 8
VARIANCE_EPSILON = 1e-5
WEIGHTS_PAGE = "https://github.com/naoto0804/pytorch-AdaIN/releases/tag/v0.0.0"


@strict
class AdaINConfig(PreTrainedConfig):
    """
    Configuration of [`AdaINModel`].

    Args:
        alpha (`float`, *optional*, defaults to 1.0):
            How much of the style, in [0, 1]; 0 gives back the content as the decoder sees it.
        encoder_digest (`str`, *optional*):
            SHA-256 of the weights of the encoder that the decoder was trained with; see [`AdaINModel.encoder_digest`].
    """

    model_type = "stylevar_adain"

    alpha: float | int = 1.0
    encoder_digest: str | None = None

    def validate_alpha(self) -> None:
        _check_alpha(self.alpha)


@dataclass
class AdaINOutput(ModelOutput):
    """
    Args:
        images (`torch.FloatTensor` of shape `(B, 3, H, W)`): In [0, 1], of the content's size.
        features (`torch.FloatTensor` of shape `(B, 512, ceil(H / 8), ceil(W / 8))`): What was decoded.
    """

    images: torch.FloatTensor | None = None
    features: torch.FloatTensor | None = None


class AdaINModel(PreTrainedModel):
    """
    Encoder, adaptive instance normalisation, decoder. Converted weights come from [`convert_adain_checkpoint`].

    Args:
        config ([`AdaINConfig`]):
            The configuration.
    """

    config_class = AdaINConfig
    base_model_prefix = ""
    main_input_name = "content_images"

    def __init__(self, config: AdaINConfig):
        super().__init__(config)
        self.encoder = build_encoder()
        self.decoder = build_decoder()
        self.post_init()

    @classmethod
    def from_pretrained(cls, path: str | os.PathLike, *args, dtype: torch.dtype | None = None, **options):
        """
        As for every transformers model, and checks that the encoder is the one that the decoder belongs to.

        Raises:
            ValueError: If it is not, or the folder does not say which it is.
        """
        loaded = super().from_pretrained(path, *args, dtype=torch.float32, **options)
        model = loaded[0] if isinstance(loaded, tuple) else loaded
        digest = model.encoder_digest()
        if model.config.encoder_digest != digest:
            raise ValueError(
                f"The encoder in {str(path)!r} must be the one that the decoder was trained with "
                f"(`encoder_digest` {model.config.encoder_digest}), but got {digest}. Convert the published files "
                "with `convert_adain_checkpoint`."
            )
        model.to(dtype or torch.float32).eval()
        return loaded

    def encoder_digest(self) -> str:
        """SHA-256 of the encoder's weights in float32, in order."""
        digest = hashlib.sha256()
        for tensor in self.encoder.state_dict().values():
            digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def forward(
        self, content_images: torch.Tensor, style_images: torch.Tensor, alpha: float | None = None
    ) -> AdaINOutput:
        r"""
        $$ D((1 - \alpha) f(c) + \alpha \, \mathrm{AdaIN}(f(c), f(s))) $$

        (equations 8 and 14), clamped to [0, 1] and cropped to the content's size: pooling that rounds up makes the
        decoder's output as much as 7 pixels larger, at the bottom and on the right.

        Args:
            content_images, style_images (`torch.Tensor` of shape `(B, 3, H, W)`):
                RGB in [0, 1], at least 9 x 9; the sizes of the two may differ.
            alpha (`float`, *optional*):
                Instead of that of the configuration.

        Returns:
            [`AdaINOutput`]

        Raises:
            ValueError: If pictures are too small, or alpha is not in [0, 1].
        """
        alpha = self.config.alpha if alpha is None else alpha
        _check_alpha(alpha)
        for name, images in (("content_images", content_images), ("style_images", style_images)):
            if min(images.shape[-2:]) <= STRIDE:  # reflection needs a second pixel at the lowest level
                rule = f"at least {STRIDE + 1} x {STRIDE + 1} pixels"
                raise invalid(name, rule, tuple(images.shape[-2:]), "Enlarge them.")
        content = self.encoder(content_images.to(self.dtype))
        stylised = adaptive_instance_normalization(content, self.encoder(style_images.to(self.dtype)))
        features = alpha * stylised + (1 - alpha) * content
        height, width = content_images.shape[-2:]
        images = self.decoder(features)[..., :height, :width].clamp(0, 1)
        return AdaINOutput(images=images, features=features)


def adaptive_instance_normalization(content: torch.Tensor, style: torch.Tensor) -> torch.Tensor:
    """
    The content's features with the style's mean and standard deviation in each channel (equation 8; the variance over
    N - 1, and 1e-5 added to it).

    Args:
        content, style (`torch.Tensor` of shape `(B, C, H, W)`): Their sizes may differ.

    Returns:
        `torch.Tensor` of the shape of the content.
    """
    normalised = (content - content.mean((2, 3), keepdim=True)) / _spread(content)
    return normalised * _spread(style) + style.mean((2, 3), keepdim=True)


def _spread(features: torch.Tensor) -> torch.Tensor:
    return (features.var((2, 3), keepdim=True) + VARIANCE_EPSILON).sqrt()


def build_encoder() -> nn.Sequential:
    """The first 31 modules of the normalised VGG-19, to relu4_1, with random weights."""
    return nn.Sequential(nn.Conv2d(3, 3, 1), *_modules(3, ENCODER_LAYERS))


def build_decoder() -> nn.Sequential:
    """The mirror image of the encoder, with random weights; no ReLU after the last convolution."""
    return nn.Sequential(*_modules(FEATURE_CHANNELS, DECODER_LAYERS)[:-1])


def _modules(channels: int, layers: tuple[int | str, ...]) -> list[nn.Module]:
    modules = []
    for layer in layers:
        if layer == "down":
            modules.append(nn.MaxPool2d(2, 2, ceil_mode=True))
        elif layer == "up":
            modules.append(nn.Upsample(scale_factor=2, mode="nearest"))
        else:
            modules += [nn.ReflectionPad2d(1), nn.Conv2d(channels, layer, 3), nn.ReLU()]
            channels = layer
    return modules


def convert_adain_checkpoint(
    encoder: str | os.PathLike, decoder: str | os.PathLike, output_dir: str | os.PathLike, alpha: float = 1.0
) -> Path:
    """
    The published files of naoto0804/pytorch-AdaIN as a folder for [`AdaINModel.from_pretrained`].

    Args:
        encoder (`str` or `os.PathLike`):
            `vgg_normalised.pth`.
        decoder (`str` or `os.PathLike`):
            `decoder.pth`, trained with that encoder.
        output_dir (`str` or `os.PathLike`):
            The folder to make; must not exist, or be empty.
        alpha (`float`, *optional*, defaults to 1.0):
            Goes into the configuration.

    Returns:
        `Path`: The folder.

    Raises:
        FileNotFoundError: If a file is not there.
        ValueError: If a file does not hold exactly the tensors of its network; torchvision's VGG-19 above all.
        FileExistsError: If there is something at the output.
    """
    output = Path(output_dir).expanduser()
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise FileExistsError(f"`output_dir` must not exist or be empty, but got {str(output)!r}. Choose another.")
    config = AdaINConfig(alpha=alpha)
    with torch.device("meta"):
        model = AdaINModel(config)
    unused = _modules(FEATURE_CHANNELS, UNUSED_ENCODER_LAYERS)
    weights = {
        **_read("encoder", encoder, model.encoder, unused),
        **_read("decoder", decoder, model.decoder),
    }
    model.load_state_dict(weights, assign=True)
    model.config.encoder_digest = model.encoder_digest()
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".adain-", dir=output.parent) as scratch:
        folder = Path(scratch) / "model"
        model.save_pretrained(folder)
        os.replace(folder, output)
    return output


def _read(
    argument: str, path: str | os.PathLike, network: nn.Sequential, unused: list[nn.Module] | None = None
) -> dict[str, torch.Tensor]:
    """The tensors of a published file by our names, checked one by one in both directions."""
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"`{argument}` must be a file, but {str(path)!r} is not. Get it from {WEIGHTS_PAGE}.")
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise invalid(argument, "a file of torch weights", repr(str(path)), f"It does not load: {error}") from error
    if not isinstance(tensors, dict) or not all(isinstance(value, torch.Tensor) for value in tensors.values()):
        raise invalid(argument, "a dict of tensors", repr(str(path)), f"Get it from {WEIGHTS_PAGE}.")
    _refuse_torchvision(argument, path, tensors)
    needed = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    rest = nn.Sequential(*network, *unused) if unused else network
    allowed = {key: tuple(value.shape) for key, value in rest.state_dict().items()}
    found = {key: tuple(value.shape) for key, value in tensors.items()}
    wrong = [f"{key} missing, {shape}" for key, shape in needed.items() if key not in found]
    wrong += [f"{key} {found[key]}, not {shape}" for key, shape in allowed.items() if found.get(key, shape) != shape]
    wrong += [f"{key} not known" for key in found if key not in allowed]
    if wrong:
        raise invalid(
            argument, "naoto0804's file", f"{str(path)!r}: {listed(wrong, 5, '; ')}", f"Get it from {WEIGHTS_PAGE}."
        )
    return {f"{argument}.{key}": tensors[key].float().contiguous() for key in needed}


def _refuse_torchvision(argument: str, path: Path, tensors: dict[str, torch.Tensor]) -> None:
    first = tensors.get("features.0.weight", tensors.get("0.weight"))
    if argument == "encoder" and first is not None and tuple(first.shape) == (64, 3, 3, 3):
        raise ValueError(
            f"`encoder` must be vgg_normalised.pth, whose first layer is a 1 x 1 convolution, but got torchvision's "
            f"VGG-19 ({str(path)!r}). The decoder was trained with the other network: with this one it would run and "
            f"paint something else. Get vgg_normalised.pth from {WEIGHTS_PAGE}."
        )


def _check_alpha(alpha: float) -> None:
    if not isinstance(alpha, (int, float)) or not 0 <= alpha <= 1:
        raise invalid("alpha", "a number in [0, 1]", repr(alpha), "1 is all of the style.")


class AdaINGenerator:
    """
    [`AdaINModel`] as a [`Generator`]; draws no random numbers.

    Args:
        model ([`AdaINModel`]):
            Where it is to compute.
        name (`str`, *optional*, defaults to `"adain"`):
            What files and tables call it.
        alpha (`float`, *optional*):
            How much of the style, instead of the model's own.
    """

    def __init__(self, model: AdaINModel, name: str = "adain", alpha: float | None = None):
        self.model = model
        self.name = name
        self.alpha = alpha

    @torch.no_grad()
    def stylize(self, contents, styles, seeds):
        check_pairs(contents, styles, seeds)
        return [self._paint(content, style) for content, style in zip(contents, styles, strict=True)]

    def _paint(self, content: PIL.Image.Image, style: PIL.Image.Image) -> PIL.Image.Image:
        # One by one: sizes may differ, and a result does not depend on what else is asked for.
        images = self.model(*(_to_tensor(image, self.model) for image in (content, style)), alpha=self.alpha).images
        array = (images[0].float() * 255).round().byte().permute(1, 2, 0).cpu().numpy()
        return PIL.Image.fromarray(array)


def load_adain(weights: str | os.PathLike | None, device: str | torch.device = "cpu") -> AdaINModel:
    """
    The model of a folder, ready to paint.

    Args:
        weights (`str` or `os.PathLike`, *optional*):
            A folder made by [`convert_adain_checkpoint`]. It may also hold the published files `vgg_normalised.pth`
            and `decoder.pth`; these are converted to a folder `converted` beside them.
        device (`str` or `torch.device`, *optional*, defaults to the CPU):
            Where it computes.

    Raises:
        ValueError: If the weights do not fit.
        TeacherUnavailable: If they are missing.
    """
    return AdaINModel.from_pretrained(_adain_folder(weights)).to(device)


def _adain_folder(weights: str | os.PathLike | None) -> Path:
    hint = f"Get both from {WEIGHTS_PAGE} and hand their folder over, or one that `convert_adain_checkpoint` makes."
    if weights is None:
        raise TeacherUnavailable(f"AdaIN needs vgg_normalised.pth and decoder.pth, but got none. {hint}")
    folder = Path(weights).expanduser()
    for place in (folder, folder / "converted"):
        if (place / "config.json").is_file():
            return place
    missing = [file for file in ("vgg_normalised.pth", "decoder.pth") if not (folder / file).is_file()]
    if missing:
        raise TeacherUnavailable(
            f"AdaIN needs vgg_normalised.pth and decoder.pth, but {str(folder)!r} lacks {', '.join(missing)}. {hint}"
        )
    return convert_adain_checkpoint(folder / "vgg_normalised.pth", folder / "decoder.pth", folder / "converted")


def _to_tensor(image: PIL.Image.Image, model: AdaINModel) -> torch.Tensor:
    array = np.asarray(load_image(image)).copy()
    return torch.from_numpy(array).permute(2, 0, 1)[None].to(model.device).float() / 255


__all__ = [
    "AdaINConfig",
    "AdaINGenerator",
    "AdaINModel",
    "AdaINOutput",
    "adaptive_instance_normalization",
    "build_decoder",
    "build_encoder",
    "convert_adain_checkpoint",
    "load_adain",
]
