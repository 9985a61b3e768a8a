# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Options of tokenizer training."""

from dataclasses import dataclass, field

import torch
from transformers import TrainingArguments

from ..._common.errors import invalid


RECONSTRUCTION_LOSSES = ("l2", "l1")
PERCEPTUAL_NETWORKS = ("vgg", "alex", "squeeze")


@dataclass
class StyleVARVQTrainerConfig(TrainingArguments):
    r"""
    Options of [`StyleVARVQTrainer`]: those of `transformers.TrainingArguments`, with other defaults where tokenizers
    want them, and these.

    Args:
        image_columns (`list[str]`, *optional*):
            The columns to train on; each image of each row is one sample. Defaults to every image column.
        check_data (`bool`, *optional*, defaults to `True`):
            Decode every training image before training (tables only, not streams).
        skip_broken (`bool`, *optional*, defaults to `False`):
            Leave out and log the rows with an image that cannot be decoded, instead of stopping with their list.
            Checks the images in any case.
        random_crop_scale (`float`, *optional*, defaults to 0.6):
            Training crops are squares whose side is between this share of the shorter side and all of it. In (0, 1];
            1 takes the largest square, at a random place.
        random_flip (`bool`, *optional*, defaults to `True`):
            Mirror half of the training images.
        reconstruction_loss (`str`, *optional*, defaults to `"l2"`):
            `"l2"` (mean squared error) or `"l1"` (mean absolute error) of the pixels.
        random_crop_max_scale (`float`, *optional*, defaults to 1.0):
            Largest side of a training crop, likewise; at least `random_crop_scale`.
        perceptual_weight (`float`, *optional*, defaults to 0.0):
            Weight of the perceptual distance: LPIPS (arXiv 1801.03924), which needs the `lpips` package and the file
            of its torchvision backbone, or that of `perceptual_weights`.
        perceptual_weights (`list[str]`, *optional*):
            One or more files of VGG-19 weights (`.safetensors`, or torchvision's `.pth`): relative distance of their
            features instead of LPIPS, see [`~stylevar_hf.training.vq_losses.PerceptualDistance`].
        texture_weight (`float`, *optional*, defaults to 0.0):
            Weight of [`~stylevar_hf.measures.vgg.FeatureSpreadDistance`], which sharpens textures; needs
            `perceptual_weights`.
        perceptual_network (`str`, *optional*, defaults to `"vgg"`):
            The backbone of LPIPS: `"vgg"`, `"alex"` or `"squeeze"`.
        adversarial_weight (`float`, *optional*, defaults to 0.0):
            Weight of the generator's hinge loss against a patch discriminator, times the adaptive weight of
            arXiv 2012.09841 (eq. 7).
        adversarial_start_step (`int`, *optional*, defaults to 0):
            The step at which the discriminator begins to train and to act.
        discriminator_channels (`int`, *optional*, defaults to 32):
            Channels of the discriminator's first layer.
        discriminator_learning_rate (`float`, *optional*):
            Constant learning rate of the discriminator. Defaults to `learning_rate`.
        freeze_codes (`bool`, *optional*, defaults to `False`):
            Train the decoder alone: encoder and codebook stay as they are, so that every image keeps its codes, and
            token caches and transformers that were made with them stay valid.
        codebook_init_from_data (`bool`, *optional*, defaults to `True`):
            Fill the codebook with what the first batch leaves over at each scale. Without `quantizer_warmup_steps`,
            not done for a model that came from `from_pretrained`.
        dead_code_revival_steps (`int`, *optional*, defaults to 200):
            Every so many steps, codes that no image of any process used since the last time are set to vectors that
            the encoder just left over. 0 switches it off.
        quantizer_warmup_steps (`int`, *optional*, defaults to 0):
            For so many steps the model is trained as a plain autoencoder; then the codebook is filled with what the
            encoder gives by then (`codebook_init_from_data`), also that of a saved model.
        ema_decay (`float`, *optional*, defaults to 0.0):
            Decay of the moving average of the weights, in [0, 1). 0 switches it off.
        channels_last (`bool`, *optional*, defaults to `False`):
            Train with the channels-last memory format.
        max_seconds (`float`, *optional*):
            Stop after the step during which so much time has passed since the run began, and save.
        num_sample_images (`int`, *optional*, defaults to 6):
            How many validation images are drawn at each evaluation, to `output_dir/samples/step_N.png`.
        metrics_per_scale (`bool`, *optional*, defaults to `True`):
            Measure PSNR and SSIM after each scale, which decodes every validation image once per scale.

    Raises:
        ValueError: If an option is out of range.
    """

    output_dir: str | None = field(default="stylevar-vq", metadata={"help": "Folder of checkpoints and samples."})
    per_device_train_batch_size: int = field(default=16, metadata={"help": "Images per process and step."})
    per_device_eval_batch_size: int = field(default=16, metadata={"help": "Images per process in evaluation."})
    learning_rate: float = field(default=5e-4, metadata={"help": "Peak learning rate."})
    lr_scheduler_type: str = field(default="cosine", metadata={"help": "Learning rate schedule."})
    warmup_steps: float = field(default=100, metadata={"help": "Steps of linear warm-up."})
    adam_beta2: float = field(default=0.99, metadata={"help": "Second moment's decay."})
    logging_steps: float = field(default=50, metadata={"help": "Log every so many steps."})
    remove_unused_columns: bool = field(default=False, metadata={"help": "The collator reads the columns it needs."})
    report_to: None | str | list[str] = field(default="none", metadata={"help": "Where to report: none, wandb, ..."})

    image_columns: list[str] | None = field(default=None, metadata={"help": "Columns to train on; default: all."})
    check_data: bool = field(default=True, metadata={"help": "Decode every image before training."})
    skip_broken: bool = field(default=False, metadata={"help": "Leave out and log rows with a broken image."})
    random_crop_scale: float = field(default=0.6, metadata={"help": "Smallest side of a training crop, in (0, 1]."})
    random_crop_max_scale: float = field(default=1.0, metadata={"help": "Largest side of a training crop."})
    random_flip: bool = field(default=True, metadata={"help": "Mirror half of the training images."})
    reconstruction_loss: str = field(default="l2", metadata={"help": "l2 or l1."})
    perceptual_weight: float = field(default=0.0, metadata={"help": "Weight of the perceptual distance."})
    perceptual_weights: list[str] | None = field(
        default=None, metadata={"help": "Files of VGG-19 weights; default: LPIPS."}
    )
    texture_weight: float = field(default=0.0, metadata={"help": "Weight of the spread of features in windows."})
    perceptual_network: str = field(default="vgg", metadata={"help": "Backbone of LPIPS: vgg, alex or squeeze."})
    adversarial_weight: float = field(default=0.0, metadata={"help": "Weight of the adversarial term."})
    adversarial_start_step: int = field(default=0, metadata={"help": "Step at which the discriminator starts."})
    discriminator_channels: int = field(default=32, metadata={"help": "Channels of the discriminator."})
    discriminator_learning_rate: float | None = field(
        default=None, metadata={"help": "Learning rate of the discriminator; default: `learning_rate`."}
    )
    freeze_codes: bool = field(default=False, metadata={"help": "Train the decoder alone; no code changes."})
    codebook_init_from_data: bool = field(default=True, metadata={"help": "Fill the codebook from the first batch."})
    dead_code_revival_steps: int = field(default=200, metadata={"help": "Revive unused codes so often; 0: never."})
    quantizer_warmup_steps: int = field(default=0, metadata={"help": "Steps without the quantiser."})
    ema_decay: float = field(default=0.0, metadata={"help": "Decay of the averaged weights; 0: off."})
    channels_last: bool = field(default=False, metadata={"help": "Channels-last memory format."})
    max_seconds: float | None = field(default=None, metadata={"help": "Stop and save after so much time."})
    num_sample_images: int = field(default=6, metadata={"help": "Validation images drawn at each evaluation."})
    metrics_per_scale: bool = field(default=True, metadata={"help": "PSNR and SSIM after each scale."})

    def __post_init__(self):
        if isinstance(self.image_columns, str):  # a line of a YAML file
            self.image_columns = [self.image_columns]
        if isinstance(self.perceptual_weights, str):
            self.perceptual_weights = [self.perceptual_weights]
        for name, choices in (
            ("reconstruction_loss", RECONSTRUCTION_LOSSES),
            ("perceptual_network", PERCEPTUAL_NETWORKS),
        ):
            if getattr(self, name) not in choices:
                raise invalid(name, f"one of {', '.join(choices)}", repr(getattr(self, name)), "Choose one of these.")
        for name in (
            "perceptual_weight",
            "texture_weight",
            "adversarial_weight",
            "adversarial_start_step",
            "dead_code_revival_steps",
            "quantizer_warmup_steps",
            "num_sample_images",
        ):
            if not getattr(self, name) >= 0:
                raise invalid(name, "0 or more", getattr(self, name), "0 switches it off.")
        if self.texture_weight > 0 and not self.perceptual_weights:
            fix = "Name a file of VGG-19 weights."
            raise invalid("perceptual_weights", "given with `texture_weight`", self.perceptual_weights, fix)
        if self.freeze_codes and self.quantizer_warmup_steps > 0:
            fix = "Frozen codes are learned already."
            raise invalid("quantizer_warmup_steps", "0 with `freeze_codes`", self.quantizer_warmup_steps, fix)
        if not 0 <= self.ema_decay < 1:
            raise invalid("ema_decay", "in [0, 1)", self.ema_decay, "0 switches it off; 0.999 is usual.")
        if not 0 < self.random_crop_scale <= 1:
            raise invalid("random_crop_scale", "in (0, 1]", self.random_crop_scale, "1 takes the largest square.")
        if not self.random_crop_scale <= self.random_crop_max_scale <= 1:
            rule = f"from `random_crop_scale` ({self.random_crop_scale}) to 1"
            raise invalid("random_crop_max_scale", rule, self.random_crop_max_scale, "1 is the default.")
        if self.discriminator_channels < 1 or self.discriminator_channels % 8:
            hint = "32 suits small images."
            raise invalid("discriminator_channels", "a positive multiple of 8", self.discriminator_channels, hint)
        if self.adversarial_weight > 0 and self.fp16:
            hint = "Use `bf16=True`: one gradient scaler cannot serve two optimizers."
            raise invalid("fp16", "False with `adversarial_weight` above 0", self.fp16, hint)
        self.dataloader_pin_memory = self.dataloader_pin_memory and torch.cuda.is_available()  # else only a warning
        super().__post_init__()


__all__ = ["StyleVARVQTrainerConfig"]
