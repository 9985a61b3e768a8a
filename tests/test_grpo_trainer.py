# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""GRPO end to end on a model so small that an update takes a fraction of a second."""

import contextlib
import json
import logging
import math
import pickle

import datasets
import numpy as np
import PIL.Image
import pytest
import torch
from conftest import CHECKPOINTING, make_tiny_config
from peft import LoraConfig
from transformers import TrainerCallback
from trl import GRPOConfig

from stylevar_hf import StyleVARForConditionalGeneration, StyleVARImageProcessor
from stylevar_hf.training import StyleVARGRPOConfig, StyleVARGRPOTrainer, add_adapter
from stylevar_hf.training.grpo import grpo_trainer
from stylevar_hf.training.grpo.panw import token_weights
from stylevar_hf.training.grpo.rollouts import rollout_generators


LORA = {"r": 4, "lora_alpha": 8}


def make_prompts(num_rows: int = 6, seed: int = 0, **columns) -> datasets.Dataset:
    """Random pictures."""
    rng = np.random.default_rng(seed)
    for name in ("content", "style", "target"):
        pictures = rng.integers(0, 256, (num_rows, 18, 16, 3), dtype=np.uint8)
        columns[name] = [PIL.Image.fromarray(picture) for picture in pictures]
    columns["content_id"] = [f"content-{row}" for row in range(num_rows)]
    return datasets.Dataset.from_dict(columns)


def make_policy(lora=None, also=None, **overrides):
    """A tiny model with open gates and a head that prefers some codes, so that everything gets a gradient."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = StyleVARForConditionalGeneration(make_tiny_config(**overrides))
        for layer in model.model.layers:
            torch.nn.init.normal_(layer.modulation.weight, std=0.2)
        torch.nn.init.normal_(model.lm_head.weight, std=0.2)
        if lora is not None:
            model = add_adapter(model, LoraConfig(**lora))
    if also is not None:
        model.get_submodule(also).requires_grad_(True)
    return model


def mask_of(row):
    return row["mask"]


class Stream(torch.utils.data.IterableDataset):
    def __iter__(self):
        return iter(make_prompts())


def code_share(completion_ids, **columns):
    """Share of a rollout's tokens that are the first eight codes."""
    return [sum(code < 8 for code in codes) / len(codes) for codes in completion_ids]


def brightness(images, **columns):
    return [image.mean().item() for image in images]


def make_grpo_trainer(
    output_dir,
    model=None,
    rewards=code_share,
    train=None,
    evaluation=None,
    callbacks=None,
    peft_config=None,
    held_out_reward_funcs=None,
    **options,
):
    arguments = {
        "num_generations": 4,
        "per_device_train_batch_size": 8,
        "gradient_accumulation_steps": 1,
        "per_device_eval_batch_size": 8,
        "learning_rate": 2e-3,
        "max_steps": 3,
        "save_strategy": "no",
        "num_rollout_images": 0,
        "disable_tqdm": True,
        "use_cpu": True,
    }
    args = StyleVARGRPOConfig(output_dir=str(output_dir), **{**arguments, **options})
    model = make_policy() if model is None else model
    train = make_prompts() if train is None else train
    return StyleVARGRPOTrainer(
        model,
        rewards,
        args,
        train,
        evaluation,
        callbacks=callbacks,
        peft_config=peft_config,
        held_out_reward_funcs=held_out_reward_funcs,
    )


def logged(trainer, name: str) -> list:
    return [entry[name] for entry in trainer.state.log_history if name in entry]


def weights_of(model) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def assert_same_weights(first: dict, second: dict) -> None:
    assert first.keys() == second.keys()
    assert [name for name in first if not torch.equal(first[name], second[name])] == []


class Watch(TrainerCallback):
    """Keeps what a test wants to look at while training goes on."""

    def __init__(self, on_pre_optimizer_step=None, on_step_end=None):
        self.before = on_pre_optimizer_step or (lambda model, state: None)
        self.after = on_step_end or (lambda model, state: None)

    def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
        self.before(model, state)

    def on_step_end(self, args, state, control, model=None, **kwargs):
        self.after(model, state)


class TestFirstUpdate:
    @pytest.mark.parametrize("bf16", [False, True])
    @pytest.mark.parametrize("lora", [None, LORA])
    @pytest.mark.parametrize("scoring", ["plain", "sampled"])
    def test_ratio_is_one_and_kl_is_zero_exactly(self, tmp_path, monkeypatch, bf16, lora, scoring):
        ratios, divergences = [], []
        surrogate, k3_kl = grpo_trainer.clipped_surrogate, grpo_trainer.k3_kl

        def watched_surrogate(*args):
            ratios.append(surrogate(*args).ratio)
            return surrogate(*args)

        def watched_kl(*args):
            divergences.append(k3_kl(*args).detach())
            return k3_kl(*args)

        monkeypatch.setattr(grpo_trainer, "clipped_surrogate", watched_surrogate)
        monkeypatch.setattr(grpo_trainer, "k3_kl", watched_kl)
        options = {"bf16": bf16, "scoring": scoring, "top_k": 20, "top_p": 0.8, "temperature": 0.9}
        # Two passes per update with rows of both prompts in each: what is shared must not change a bit.
        options |= {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2, "max_steps": 2}
        model = make_policy(lora)
        if bf16:  # on CPU, gradients of bfloat16 convolutions of 1x1 maps are NaN now and then
            core = model if lora is None else model.get_base_model()
            core.model.style_encoder.requires_grad_(False), core.model.content_encoder.requires_grad_(False)
        trainer = make_grpo_trainer(tmp_path, model, **options)
        trainer.train()
        assert len(ratios) == 4 and ratios[0].shape == (4, 30)
        assert all(torch.equal(ratio, torch.ones_like(ratio)) for ratio in ratios)
        assert not any(values.any() for values in divergences[:6])  # the first update's
        assert divergences[-1].max() > 1e-6
        assert logged(trainer, "kl")[0] == 0 and logged(trainer, "grad_norm")[0] > 0

    def test_gradients_reach_every_adapted_layer(self, tmp_path):
        moved = {}

        def look(model, state):
            for name, value in model.named_parameters():
                if "lora_" in name and value.grad is not None and value.grad.any():
                    moved[name] = True

        trainer = make_grpo_trainer(tmp_path, make_policy(LORA), callbacks=[Watch(look)])
        trainer.train()
        adapters = [name for name, _ in trainer.model.named_parameters() if "lora_" in name]
        assert len(adapters) == 2 * 2 * 6  # A and B, two blocks, q k v o and both layers of the MLP
        assert sorted(moved) == sorted(adapters)

    @pytest.mark.parametrize("lora", [None, LORA])
    def test_what_is_frozen_stays_bit_by_bit(self, tmp_path, lora):
        trainer = make_grpo_trainer(tmp_path, make_policy(lora, drop_path_rate=0.5, alpha_jitter=0.3))
        before = weights_of(trainer.model)
        trainer.train()
        after = weights_of(trainer.model)
        moved = {name for name in before if not torch.equal(before[name], after[name])}
        assert any("q_proj" in name for name in moved)
        assert not any("vq_model." in name or "running_" in name or "num_batches" in name for name in moved)
        if lora is not None:
            assert all("lora_" in name for name in moved)
        assert [name for name in before if name.endswith("running_mean")]

    def test_gradient_is_that_of_the_loss_written_out(self, tmp_path):
        """Policy gradient with PANW and k3 at the first update, from logits of the whole batch."""
        grads = {}

        def keep(model, state):
            grads.update(
                {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}
            )

        options = {"max_steps": 1, "max_grad_norm": 1e9, "per_device_train_batch_size": 4}
        trainer = make_grpo_trainer(tmp_path, callbacks=[Watch(keep)], train=make_prompts(1), **options)
        trainer.train()

        model = make_policy().eval()
        row = trainer._collator([make_prompts(1)[0]])
        pixels = [row[f"{name}_pixel_values"].expand(4, -1, -1, -1) for name in ("content", "style")]
        codes = model.generate(
            *(pixel[:1] for pixel in pixels),
            do_sample=True,
            top_k=900,
            top_p=0.96,
            num_return_sequences=4,
            generator=rollout_generators(42, 0, range(4)),
        ).sequences
        rewards = torch.tensor(code_share(codes.tolist()))
        advantages = (rewards - rewards.mean()) / (rewards.std() + 1e-4)
        log_probs = model(*pixels, labels=codes).logits.log_softmax(-1).gather(-1, codes[..., None]).squeeze(-1)
        loss = -(advantages[:, None] * log_probs * token_weights((1, 2, 3, 4), "panw", 0.7)).sum(1).mean()
        loss.backward()
        assert logged(trainer, "reward") == pytest.approx([rewards.mean().item()])
        for name, value in model.named_parameters():
            if name in grads and value.grad is not None:
                torch.testing.assert_close(grads[name], value.grad, atol=1e-5, rtol=1e-3)
        assert "model.style_encoder.embedder.embedder.convolution.weight" in grads
        assert "lm_head.weight" in grads


class TestOptions:
    def _losses(self, tmp_path, **options):
        trainer = make_grpo_trainer(tmp_path, **{"max_steps": 3, **options})
        trainer.train()
        return logged(trainer, "grad_norm"), weights_of(trainer.model)

    @pytest.mark.parametrize(
        "options",
        [
            {"head_chunk_size": 7},
            {CHECKPOINTING: True},
            {"rollout_batch_size": 3},
            {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2},
        ],
        ids=["chunks", "checkpointing", "rollout batches", "accumulation"],
    )
    def test_that_save_memory_do_not_change_the_update(self, tmp_path, options):
        # SGD: Adam would blow rounding of gradients near 0 up to the size of the learning rate.
        options, same = {"optim": "sgd", **options}, {"optim": "sgd"}
        norms, weights = self._losses(tmp_path, **options)
        expected_norms, expected = self._losses(tmp_path, **same)
        assert norms == pytest.approx(expected_norms, rel=1e-4)
        for name, value in expected.items():
            torch.testing.assert_close(weights[name], value, atol=1e-6, rtol=1e-5)

    @pytest.mark.parametrize("checkpointing", [False, True])
    def test_adapters_without_casts_change_nothing(self, tmp_path, monkeypatch, checkpointing):
        options = {"bf16": True, CHECKPOINTING: checkpointing, "max_steps": 2}
        casts = []

        def train():
            model = make_policy(LORA)
            layer = model.get_base_model().model.layers[0].mlp.fc2
            watch = Watch(lambda *_: casts.append(getattr(layer, "cast_input_dtype_enabled", True)))
            trainer = make_grpo_trainer(tmp_path, model, callbacks=[watch], **options)
            trainer.train()
            assert getattr(layer, "cast_input_dtype_enabled", True), "as before"
            return weights_of(model)

        weights = train()
        monkeypatch.setattr("peft.helpers.disable_input_dtype_casting", lambda model: contextlib.nullcontext())
        assert_same_weights(weights, train())
        assert casts == [False, False, True, True]

    def test_activation_checkpointing_computes_blocks_again(self, tmp_path, monkeypatch):
        from stylevar_hf.modeling_stylevar import StyleVARBlendedCrossAttention

        counts, forward = [], StyleVARBlendedCrossAttention.forward

        def counted(self, *args, **kwargs):
            counts.append(torch.is_grad_enabled())
            return forward(self, *args, **kwargs)

        monkeypatch.setattr(StyleVARBlendedCrossAttention, "forward", counted)
        for options in ({}, {CHECKPOINTING: True}):
            make_grpo_trainer(tmp_path, max_steps=1, **options).train()
            counts.append(None)
        first = counts.index(None)
        assert counts[:first].count(True) == 2
        assert counts[first:].count(True) > 2

    def test_rows_are_used_again_with_the_old_scores(self, tmp_path):
        options = {"num_iterations": 2, "max_steps": 4, "epsilon": 0.01}
        trainer = make_grpo_trainer(tmp_path, **options)
        trainer.train()
        clipped = logged(trainer, "clip_ratio/region_mean")
        assert clipped[0] == clipped[2] == 0 and clipped[1] > 0 and clipped[3] > 0
        rewards = logged(trainer, "reward")
        assert len(rewards) == 2  # two generations, four updates

    def test_generation_for_several_updates_keeps_the_scores_it_was_drawn_with(self, tmp_path):
        trainer = make_grpo_trainer(tmp_path, steps_per_generation=2, max_steps=4, epsilon=0.01)
        trainer.train()
        clipped = logged(trainer, "clip_ratio/region_mean")
        assert clipped[0] == clipped[2] == 0 and clipped[1] > 0 and clipped[3] > 0
        assert logged(trainer, "kl")[0] == 0

    def test_update_within_a_generation_keeps_the_scores_it_was_drawn_with(self, tmp_path, monkeypatch):
        """Generations of two passes, updates of three: the fourth pass trains on rollouts of an older policy."""
        ratios, surrogate = [], grpo_trainer.clipped_surrogate

        def watched(*args):
            ratios.append((surrogate(*args).ratio - 1).abs().max().item())
            return surrogate(*args)

        monkeypatch.setattr(grpo_trainer, "clipped_surrogate", watched)
        options = {"steps_per_generation": 2, "gradient_accumulation_steps": 3, "max_steps": 2}
        make_grpo_trainer(tmp_path, train=make_prompts(12), **options).train()
        assert len(ratios) == 6
        assert max(ratios[:3] + ratios[4:]) < 1e-5 and ratios[3] > 1e-3

    def test_folder_of_the_model_says_how_to_resize(self, tmp_path):
        make_policy().save_pretrained(tmp_path / "model")
        trainer = make_grpo_trainer(tmp_path, str(tmp_path / "model"))
        assert trainer.processing_class.resize_mode == "stretch"
        size = {"height": 16, "width": 16}
        StyleVARImageProcessor(size=size, resize_mode="center_crop").save_pretrained(tmp_path / "model")
        trainer = make_grpo_trainer(tmp_path, str(tmp_path / "model"))
        assert trainer.processing_class.resize_mode == "center_crop"

    def test_model_of_the_package_goes_by_its_name(self, tmp_path):
        trainer = make_grpo_trainer(tmp_path, "stylevar-mini")
        assert trainer.model.config.image_size == 128 and trainer.processing_class.size["height"] == 128

    def test_card_is_of_what_is_saved(self, tmp_path):
        base = make_policy()
        base.save_pretrained(tmp_path / "base")
        on_disk = StyleVARForConditionalGeneration.from_pretrained(tmp_path / "base")
        cases = (("whole", base, 0.1), ("adapter", on_disk, 0.1), ("whole without a reference", make_policy(), 0.0))
        for name, model, beta in cases:
            trainer = make_grpo_trainer(tmp_path / name, add_adapter(model, LoraConfig(**LORA)), beta=beta)
            trainer.save_model()
            trainer.create_model_card()
            card = (tmp_path / name / "README.md").read_text(encoding="utf-8")
            assert (
                ("a LoRA adapter" in card) == (tmp_path / name / "adapter_config.json").exists() == (name == "adapter")
            )

    def test_path_is_loaded_in_float32_unless_told_otherwise(self, tmp_path):
        make_policy().to(torch.bfloat16).save_pretrained(tmp_path / "model")
        assert make_grpo_trainer(tmp_path, str(tmp_path / "model")).model.dtype == torch.float32
        half = make_grpo_trainer(tmp_path, str(tmp_path / "model"), model_init_kwargs={"dtype": "bfloat16"})
        assert half.model.dtype == torch.bfloat16

    def test_new_adapter_depends_on_the_seed_alone(self, tmp_path):
        def first_weights(seed):
            torch.rand(1)
            trainer = make_grpo_trainer(tmp_path, peft_config=LoraConfig(r=2), seed=seed)
            return next(value for name, value in trainer.model.named_parameters() if ".lora_A." in name)

        assert torch.equal(first_weights(1), first_weights(1))
        assert not torch.equal(first_weights(1), first_weights(2))

    @pytest.mark.parametrize("modules", ["all-linear", ["modulation", "fc1"]])
    def test_adapters_fit_every_linear_layer(self, tmp_path, modules):
        model = make_policy({**LORA, "target_modules": modules})
        assert any("modulation.lora_A" in name for name, _ in model.named_parameters())
        trainer = make_grpo_trainer(tmp_path, model, max_steps=2)
        before = weights_of(model)
        trainer.train()
        assert logged(trainer, "kl")[0] == 0 < logged(trainer, "kl")[1]
        moved = [name for name, value in model.state_dict().items() if not torch.equal(value, before[name])]
        assert any("modulation.lora_B" in name for name in moved) and all("lora_" in name for name in moved)

    def test_dropout_of_an_adapter_is_said_to_have_no_effect(self, tmp_path, caplog, monkeypatch):
        monkeypatch.setattr(logging.getLogger("stylevar_hf"), "propagate", True)
        make_grpo_trainer(tmp_path, make_policy({**LORA, "lora_dropout": 0.5}))
        assert "lora_dropout=0.5 has no effect" in caplog.text

    def test_mask_may_be_a_function_of_the_row(self, tmp_path):
        runs = []
        rows = make_prompts(mask=np.eye(8)[:6].repeat(8, axis=0).reshape(6, 8, 8).tolist())
        for mask in ("mask", mask_of, f"{__name__}:mask_of", None):
            trainer = make_grpo_trainer(tmp_path, train=rows, mask_column=mask, max_steps=2)
            trainer.train()
            runs.append(weights_of(trainer.model))
        assert_same_weights(runs[0], runs[1]), assert_same_weights(runs[0], runs[2])
        assert not torch.equal(runs[0]["lm_head.weight"], runs[3]["lm_head.weight"])
        args = StyleVARGRPOConfig(str(tmp_path), mask_column=mask_of)
        assert pickle.loads(pickle.dumps(args)).mask_column == f"{__name__}:mask_of"
        assert json.loads(args.to_json_string())["mask_column"] == f"{__name__}:mask_of"

    def test_sampled_scoring_is_of_the_distribution_drawn_from(self, tmp_path):
        """With the filters, only what was kept has entropy: that of 2 codes is at most log 2."""
        options = {"max_steps": 1, "top_k": 2, "top_p": 1.0}
        plain = make_grpo_trainer(tmp_path, scoring="plain", **options)
        sampled = make_grpo_trainer(tmp_path, scoring="sampled", **options)
        plain.train(), sampled.train()
        assert logged(plain, "entropy")[0] > 2
        assert 0 < logged(sampled, "entropy")[0] <= math.log(2) + 1e-6
        assert logged(plain, "reward") == logged(sampled, "reward")

    def test_kl_and_entropy_are_logged_per_scale_and_not_weighted(self, tmp_path):
        trainer = make_grpo_trainer(tmp_path)
        trainer.train()
        last = trainer.state.log_history[2]
        for name in ("kl", "entropy"):
            scales = [last[f"{name}_scale_{scale}"] for scale in range(4)]
            assert np.dot(scales, [1, 4, 9, 16]) / 30 == pytest.approx(last[name], rel=1e-4)
            assert len(set(scales)) == 4
        assert f"kl_scale_{4}" not in last

    def test_without_kl_there_is_no_reference(self, tmp_path):
        trainer = make_grpo_trainer(tmp_path, beta=0.0, save_strategy="steps", save_steps=2)
        trainer.train()
        assert trainer.reference is None and not logged(trainer, "kl")
        again = make_grpo_trainer(tmp_path, beta=0.0, save_strategy="steps", save_steps=2)
        again.train(resume_from_checkpoint="last")
        assert_same_weights(weights_of(again.model), weights_of(trainer.model))

    def test_epochs_end_with_whole_prompts(self, tmp_path):
        trainer = make_grpo_trainer(tmp_path, max_steps=-1, num_train_epochs=2, train=make_prompts(5))
        trainer.train()
        assert trainer.state.global_step == 4  # two whole pairs of prompts per epoch
        ends = make_grpo_trainer(
            tmp_path, max_steps=-1, num_train_epochs=2, steps_per_generation=3, gradient_accumulation_steps=2
        )
        ends.train()  # an epoch of three passes: updates of two passes and of one
        assert len(logged(ends, "kl")) == ends.state.global_step == 4
        counts = ends._update_sums
        assert counts is None

    def test_streams_work_like_tables(self, tmp_path):
        table = make_prompts()
        runs = []
        for train in (table, table.to_iterable_dataset()):
            trainer = make_grpo_trainer(tmp_path, train=train, shuffle_dataset=False)
            trainer.train()
            runs.append(logged(trainer, "reward"))
        assert runs[0] == pytest.approx(runs[1])

    def test_mean_of_metrics_that_a_reward_logs(self, tmp_path):
        def reward(images, log_metric, **columns):
            log_metric("brightest", max(image.max().item() for image in images))
            return brightness(images)

        trainer = make_grpo_trainer(tmp_path, rewards=reward, max_steps=1)
        trainer.train()
        assert 0 < logged(trainer, "brightest")[0] <= 1


class TestRewards:
    def test_are_weighted_named_and_logged_one_by_one(self, tmp_path):
        rewards = [brightness, code_share, "color-statistics"]
        trainer = make_grpo_trainer(tmp_path, rewards=rewards, reward_weights=[2.0, 0.5, 0.0], max_steps=1)
        trainer.train()
        logs = trainer.state.log_history[0]
        parts = [logs[f"rewards/{name}/mean"] for name in ("brightness", "code_share", "color-statistics")]
        assert logs["reward"] == pytest.approx(2 * parts[0] + 0.5 * parts[1])
        assert parts[2] < 0 and logs["rewards/brightness/std"] > 0

    def test_are_told_of_every_column_and_picture(self, tmp_path):
        seen = {}

        def reward(images, prompts, completions, completion_ids, **columns):
            seen.update(columns, images=images, prompts=prompts, completion_ids=completion_ids)
            return brightness(images)

        train = make_prompts(note=[f"note-{row}" for row in range(6)])
        trainer = make_grpo_trainer(tmp_path, rewards=reward, train=train, max_steps=1)
        trainer.train()
        assert len(seen["images"]) == 8 and len(set(seen["note"])) == 2
        assert seen["note"] == [prompt["note"] for prompt in seen["prompts"]]
        for name in ("images", "content_images", "style_images", "target_images"):
            assert all(image.shape == (3, 16, 16) and 0 <= image.min() <= image.max() <= 1 for image in seen[name])
        assert seen["target_images"][0] is seen["target_images"][3] is not seen["target_images"][4]
        assert len(seen["completion_ids"][0]) == 30

    def test_equal_rewards_teach_nothing_and_are_counted(self, tmp_path):
        def first_prompt_alone(prompts, completion_ids, **columns):
            scores = code_share(completion_ids)
            return [score if prompt is prompts[0] else 1.0 for score, prompt in zip(scores, prompts, strict=True)]

        trainer = make_grpo_trainer(tmp_path, rewards=first_prompt_alone, beta=0.0, max_steps=1)
        trainer.train()
        assert logged(trainer, "frac_reward_zero_std") == [0.5]
        constant = make_grpo_trainer(tmp_path, rewards=lambda images, **columns: [1.0] * len(images), beta=0.0)
        before = weights_of(constant.model)
        constant.args.weight_decay = 0.0
        constant.train()
        assert logged(constant, "frac_reward_zero_std") == [1.0] * 3
        assert_same_weights(weights_of(constant.model), before)


class TestBadInput:
    @pytest.mark.parametrize(
        ("reward", "message"),
        [
            (
                lambda images, **columns: [1.0],
                r"`reward <lambda>` must be a list of one number per image \(4\), but got 1",
            ),
            (lambda images, **columns: None, r"must be a list of one number per image \(4\), but got NoneType"),
            (lambda images, **columns: [None] * len(images), "`reward <lambda>` must be finite, but got None"),
            (lambda images, **columns: [math.nan] * len(images), "`reward <lambda>` must be finite, but got nan"),
            (lambda images: [0.0] * len(images), "`reward <lambda>` must be callable with the keyword arguments "),
        ],
        ids=["count", "None", "list of None", "NaN", "no columns"],
    )
    def test_of_a_reward_shows_before_the_first_rollout(self, tmp_path, monkeypatch, reward, message):
        monkeypatch.setattr(StyleVARForConditionalGeneration, "generate", None)
        trainer = make_grpo_trainer(tmp_path, rewards=reward)
        with pytest.raises(ValueError, match=message):
            trainer.train()

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"rewards": []}, "`reward_funcs` must be at least one reward"),
            ({"rewards": torch.nn.Linear(1, 1)}, "`reward_funcs` must be plain functions, but got Linear"),
            ({"rewards": "nothing"}, "A reward must be one of dreamsim"),
            ({"reward_weights": [1.0, 2.0]}, r"`reward_weights` must be one number per reward \(1: code_share\)"),
            ({"mask_column": "mask"}, "`mask_column` must be one of .*content_id"),
            ({"mask_column": "nowhere:mask"}, "`mask_column` must be a column, .* but got nowhere:mask. No module"),
            ({"mask_column": "math:pi"}, "`mask_column` must be .* but got math:pi of type float"),
            ({"vmr_scale": 4}, "`vmr_scale` must be from 1 to 3"),
            (
                {"vmr_scale": 2, "steps_per_generation": 1, "gradient_accumulation_steps": 2},
                r"`gradient_accumulation_steps` must be a divisor of steps_per_generation \* num_iterations \(1\)",
            ),
            ({"neftune_noise_alpha": 5.0}, "`neftune_noise_alpha` must be left at None"),
            ({"model": make_policy(LORA, also="lm_head")}, "`model` must be one whose adapter alone is trained"),
            ({"per_device_train_batch_size": 32}, "`train_dataset` must be of at least 8 rows, .* but got 6"),
            ({"train": make_prompts(2).select([])}, "`train_dataset` must be of at least 2 rows, .* but got 0"),
            ({"train": Stream()}, "`train_dataset` must be a `datasets.IterableDataset`, .* but got Stream"),
            (
                {"train": make_prompts().rename_column("content_id", "completions")},
                "`train_dataset` must be a data set without columns that rewards get .* Rename completions",
            ),
            ({"model": make_policy(legacy_kv_duplication=True)}, "`legacy_kv_duplication` must be False"),
            ({"model": make_policy().requires_grad_(False)}, "`model` must be one with parameters that are trained"),
            (
                {"model_init_kwargs": {"dtype": "float32"}},
                "`model_init_kwargs` must be None for a model that is loaded",
            ),
        ],
    )
    def test_is_refused_on_construction(self, tmp_path, arguments, message):
        with pytest.raises(ValueError, match=message):
            make_grpo_trainer(tmp_path, **arguments)

    def test_gain_of_the_reference_is_named_as_the_option_is(self, tmp_path):
        with pytest.raises(ValueError, match="`reference_gain` must be positive with `iterative_reference`"):
            make_grpo_trainer(tmp_path, iterative_reference=True, reference_gain=0.0)

    def test_options_of_trl_alone_are_refused(self):
        with pytest.raises(ValueError, match="`args` must be a StyleVARGRPOConfig, but got GRPOConfig"):
            StyleVARGRPOTrainer(make_policy(), code_share, GRPOConfig(use_cpu=True, bf16=False), make_prompts())

    def test_function_that_takes_targets_needs_them(self, tmp_path):
        def to_target(images, target_images, **columns):
            return [0.0] * len(images)

        without = make_prompts().remove_columns("target")
        with pytest.raises(ValueError, match="`train_dataset` must be .* the column target for the reward to_target"):
            make_grpo_trainer(tmp_path, rewards=to_target, train=without)
        make_grpo_trainer(tmp_path, rewards=to_target, max_steps=1).train()

    def test_missing_target_is_named_with_its_reward(self, tmp_path):
        without = make_prompts().remove_columns("target")
        with pytest.raises(ValueError, match="`train_dataset` must be one with the column target for the reward ssim"):
            make_grpo_trainer(tmp_path, rewards="ssim", train=without)
        with pytest.raises(ValueError, match="`eval_dataset` must be one with the column target for the reward ssim"):
            make_grpo_trainer(tmp_path, rewards="ssim", evaluation=without)
        with pytest.raises(ValueError, match="`train_dataset` must be a data set with the columns content and style"):
            make_grpo_trainer(tmp_path, train=without.remove_columns("style"))
        make_grpo_trainer(tmp_path, train=without, max_steps=1).train()

    def test_adapter_and_peft_config_exclude_each_other(self, tmp_path):
        args = StyleVARGRPOConfig(output_dir=str(tmp_path), use_cpu=True)
        with pytest.raises(ValueError, match="`peft_config` must be None for a model that has an adapter"):
            StyleVARGRPOTrainer(make_policy(LORA), code_share, args, make_prompts(), peft_config=LoraConfig(**LORA))

    def test_missing_dreamsim_weights_name_the_command(self, tmp_path):
        pytest.importorskip("dreamsim")
        with pytest.raises(FileNotFoundError, match="stylevar download-dreamsim --cache-dir"):
            make_grpo_trainer(tmp_path, rewards=f"dreamsim:cache_dir={tmp_path}").train()

    def test_evaluation_batch_that_is_no_whole_prompt(self, tmp_path):
        trainer = make_grpo_trainer(tmp_path, evaluation=make_prompts(2), per_device_eval_batch_size=6)
        with pytest.raises(ValueError, match="`per_device_eval_batch_size` must be such that .*4 rollouts each"):
            trainer.evaluate()


class TestGuards:
    def test_update_with_a_gradient_that_is_not_finite_is_left_out(self, tmp_path):
        weights = []

        def breaks(model, state):
            weights.append(weights_of(model))
            if state.global_step == 1:
                model.lm_head.bias.grad[0] = math.nan

        trainer = make_grpo_trainer(tmp_path, max_steps=3)
        trainer.callback_handler.callbacks.insert(0, Watch(breaks))
        trainer.train()
        assert_same_weights(weights[1], weights[2])
        assert not torch.equal(weights[0]["lm_head.weight"], weights[1]["lm_head.weight"])
        assert not torch.equal(weights[2]["lm_head.weight"], trainer.model.lm_head.weight)
        assert all(value.isfinite().all() for value in trainer.model.state_dict().values())

    @pytest.mark.parametrize("passes", [1, 2])
    def test_update_without_a_usable_rollout_moves_nothing(self, tmp_path, passes):
        """Neither AdamW's momentum nor its weight decay, which the first update has set going."""
        weights = []

        def breaks(completion_ids, trainer_state, **columns):
            scores = code_share(completion_ids)
            return [math.nan] * len(scores) if trainer_state.global_step == 1 else scores

        options = {"per_device_train_batch_size": 8 // passes, "gradient_accumulation_steps": passes}
        watch = Watch(on_step_end=lambda model, state: weights.append(weights_of(model)))
        make_grpo_trainer(tmp_path, rewards=breaks, callbacks=[watch], weight_decay=0.1, **options).train()
        first, second, third = weights
        assert_same_weights(first, second)
        assert not torch.equal(second["lm_head.weight"], third["lm_head.weight"])

    def test_rollouts_without_a_finite_reward_are_left_out(self, tmp_path):
        def sometimes(completion_ids, trainer_state, **columns):
            scores = code_share(completion_ids)
            return [math.nan, None, math.inf, *scores[3:]]

        runs = []
        for reward in (sometimes, code_share):
            trainer = make_grpo_trainer(tmp_path, rewards=reward, max_steps=2)
            trainer.train()
            runs.append(trainer)
        broken, whole = runs
        assert logged(broken, "rollouts_left_out/reward") == [3, 3]
        assert logged(whole, "rollouts_left_out/reward") == [0, 0]
        assert all(math.isfinite(value) for value in logged(broken, "reward") + logged(broken, "grad_norm"))
        assert all(value.isfinite().all() for value in broken.model.state_dict().values())

    def test_scores_that_are_not_finite_leave_out_their_rollout_alone(self, tmp_path, monkeypatch):
        score = StyleVARGRPOTrainer._score

        def breaks(self, model, inputs):
            log_probs, entropies = score(self, model, inputs)
            third = torch.arange(len(log_probs)) == 2
            return log_probs + torch.where(third, math.nan, 0.0)[:, None], entropies

        monkeypatch.setattr(StyleVARGRPOTrainer, "_score", breaks)
        trainer = make_grpo_trainer(tmp_path, max_steps=1, use_bias_correction_kl=True)
        before = weights_of(trainer.model)
        trainer.train()
        assert trainer.num_usable_rollouts == 7
        assert math.isfinite(logged(trainer, "grad_norm")[0]) and logged(trainer, "grad_norm")[0] > 0
        assert not torch.equal(before["lm_head.weight"], trainer.model.lm_head.weight)

    def test_kl_limit_leaves_out_the_offending_rollout_alone(self, tmp_path, monkeypatch):
        """The update is as if that rollout's loss was 0 and the others' unchanged."""
        from stylevar_hf.training.grpo import grpo_trainer

        grads, kept, mean = [], [], grpo_trainer.weighted_token_mean

        def watched(values, weights, keep):
            kept.append(keep.clone())
            return mean(values, weights, keep)

        def grab(model, state):
            grads.append({n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None})

        def far(self, inputs):
            reference = original(self, inputs)
            return reference + 10 * (torch.arange(len(reference)) == 2).float()[:, None]

        original = StyleVARGRPOTrainer._reference_log_probs
        monkeypatch.setattr(grpo_trainer, "weighted_token_mean", watched)
        monkeypatch.setattr(StyleVARGRPOTrainer, "_reference_log_probs", far)
        options = {"max_steps": 1, "beta": 1e-9, "max_grad_norm": 1e9, "callbacks": [Watch(grab)]}
        limited = make_grpo_trainer(tmp_path, **options)
        limited.train()
        assert torch.stack(kept).tolist() == [[True, True, False, True, True, True, True, True]]
        assert logged(limited, "rollouts_left_out/kl") == [1]

        monkeypatch.setattr(StyleVARGRPOTrainer, "_reference_log_probs", original)

        def without_third(values, weights, keep):
            return mean(values * (torch.arange(len(values)) != 2)[:, None], weights, keep)

        monkeypatch.setattr(grpo_trainer, "weighted_token_mean", without_third)
        make_grpo_trainer(tmp_path, **options).train()
        for name, value in grads[0].items():
            torch.testing.assert_close(value, grads[1][name], atol=1e-7, rtol=1e-5)
        assert any(value.abs().max() > 1e-4 for value in grads[0].values())

    def test_repeated_failure_stops_with_a_checkpoint(self, tmp_path):
        def breaks(completion_ids, trainer_state, **columns):
            scores = code_share(completion_ids)
            return [math.nan] * len(scores) if trainer_state.global_step >= 1 else scores

        trainer = make_grpo_trainer(tmp_path, rewards=breaks, max_steps=20, max_failed_updates=3)
        with pytest.raises(RuntimeError, match="Training stopped at step 4: 3 updates in a row had no rollout"):
            trainer.train()
        assert (tmp_path / "checkpoint-4" / "model.safetensors").is_file()
        StyleVARForConditionalGeneration.from_pretrained(tmp_path / "checkpoint-4")

    def test_single_failures_do_not_stop(self, tmp_path):
        def sometimes(completion_ids, trainer_state, **columns):
            scores = code_share(completion_ids)
            return [math.nan] * len(scores) if trainer_state.global_step % 2 else scores

        trainer = make_grpo_trainer(tmp_path, rewards=sometimes, max_steps=6, max_failed_updates=2)
        trainer.train()
        assert trainer.state.global_step == 6
        assert logged(trainer, "reward")[1] is None
        json.dumps(trainer.state.log_history, allow_nan=False)
