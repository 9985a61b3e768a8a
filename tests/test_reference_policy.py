# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""The reference policy: the same outputs before and after an update, when it happens, and exact resumption."""

import json
import math
import os
from types import SimpleNamespace

import pytest
import torch
from peft import LoraConfig
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from transformers import Trainer, TrainingArguments

from stylevar_hf import StyleVARForConditionalGeneration
from stylevar_hf.training import AtomicCheckpointMixin, add_adapter
from stylevar_hf.training.grpo.adapter_weights import AdapterWeights
from stylevar_hf.training.grpo.iterative_reference import IterativeReferenceCallback, ReferenceSchedule
from stylevar_hf.training.grpo.reference_policy import AdapterReferencePolicy, CopyReferencePolicy, ReferencePolicy
from stylevar_hf.training.grpo.saved_adapter import SavedAdapter


LORA_CONFIGS = {
    "plain": {"r": 4, "lora_alpha": 8},
    "rslora": {"r": 3, "lora_alpha": 5, "use_rslora": True},
    "gaussian": {"r": 2, "lora_alpha": 2, "init_lora_weights": "gaussian"},
    "patterns": {"r": 2, "rank_pattern": {"fc1": 5}, "alpha_pattern": {"fc1": 7}},
    "lora_bias": {"r": 2, "lora_bias": True, "target_modules": r".*\.(q_proj|fc2)"},
    "embeddings": {"r": 2, "target_modules": ["position_embedding", "q_proj"]},
}


def load_model(folder, lora=None):
    """The tiny model; what no trainer of this kind trains is frozen."""
    model = StyleVARForConditionalGeneration.from_pretrained(folder)
    model.vq_model.requires_grad_(False)
    if lora is not None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = add_adapter(model, LoraConfig(**lora))
    return model.eval()


def disturb(model, seed=0, std=0.1):
    """As training would: the trained weights somewhere else."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * std)


def make_batch(seed=0):
    generator = torch.Generator().manual_seed(seed)
    images = [torch.rand(2, 3, 16, 16, generator=generator) * 2 - 1 for _ in range(2)]
    labels = torch.randint(64, (2, 30), generator=generator)
    return {"content_pixel_values": images[0], "style_pixel_values": images[1], "labels": labels}


@torch.no_grad()
def get_logits(model):
    return model(**make_batch()).logits


def get_reference_logits(reference, model):
    with reference.log_probs_context(model) as reference_model:
        return get_logits(reference_model)


def clone_state(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def assert_same_state(first, second):
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


def assert_close(found, expected):
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


class TestAdapterReference:
    @pytest.mark.parametrize("name", LORA_CONFIGS)
    def test_policy_stays_and_becomes_the_reference(self, tiny_model_dir, name):
        model = load_model(tiny_model_dir, LORA_CONFIGS[name])
        reference = ReferencePolicy.for_model(model)
        assert isinstance(reference, AdapterReferencePolicy)
        start = get_logits(model)
        assert torch.equal(get_reference_logits(reference, model), start)
        disturb(model)
        policy = get_logits(model)
        assert (policy - start).abs().max() > 0.01
        assert torch.equal(get_reference_logits(reference, model), start)
        reference.update(model)
        assert reference.num_updates == 1
        assert_close(get_logits(model), policy)
        assert_close(get_reference_logits(reference, model), policy)
        assert torch.equal(get_logits(model), get_reference_logits(reference, model))

    def test_weights_of_the_base_are_those_of_peft_up_to_rounding(self, tiny_model_dir):
        model, other = (load_model(tiny_model_dir, LORA_CONFIGS["rslora"]) for _ in range(2))
        disturb(model), disturb(other)
        reference = ReferencePolicy.for_model(model)
        reference.update(model)
        other.merge_adapter()
        merged = other.state_dict()
        for name, value in model.state_dict().items():
            if "lora_" not in name:
                torch.testing.assert_close(value, merged[name], atol=1e-6, rtol=1e-6)

    def test_parameters_stay_the_same_objects_and_trainable(self, tiny_model_dir):
        model = load_model(tiny_model_dir, LORA_CONFIGS["plain"])
        reference = ReferencePolicy.for_model(model)
        before = {name: (id(value), value.data_ptr()) for name, value in model.named_parameters()}
        disturb(model)
        reference.update(model)
        get_reference_logits(reference, model)
        assert before == {name: (id(value), value.data_ptr()) for name, value in model.named_parameters()}
        assert all(value.requires_grad == ("lora_" in name) for name, value in model.named_parameters())

    def test_fresh_adapters_depend_on_seed_and_count_alone(self, tiny_model_dir):
        models = [load_model(tiny_model_dir, LORA_CONFIGS["plain"]) for _ in range(3)]
        references = [ReferencePolicy.for_model(model, seed) for model, seed in zip(models, (1, 1, 3), strict=True)]
        for index, (model, reference) in enumerate(zip(models, references, strict=True)):
            torch.manual_seed(index)
            state = torch.get_rng_state()
            reference.update(model)
            assert torch.equal(torch.get_rng_state(), state)
        first, same, other = ([p.clone() for n, p in m.named_parameters() if "lora_A" in n] for m in models)
        assert all(torch.equal(a, b) for a, b in zip(first, same, strict=True))
        assert not any(torch.equal(a, b) for a, b in zip(first, other, strict=True))
        assert not any(p.any() for n, p in models[0].named_parameters() if "lora_B" in n)
        references[0].update(models[0])
        again = [p for n, p in models[0].named_parameters() if "lora_A" in n]
        assert not any(torch.equal(a, b) for a, b in zip(first, again, strict=True))

    def test_snapshot_takes_the_policy_back(self, tiny_model_dir):
        model = load_model(tiny_model_dir, LORA_CONFIGS["plain"])
        reference = ReferencePolicy.for_model(model)
        disturb(model, seed=1)
        peak, snapshot = get_logits(model), reference.snapshot(model)
        disturb(model, seed=2)
        assert (get_logits(model) - peak).abs().max() > 0.01
        reference.update(model, snapshot)
        assert_close(get_logits(model), peak)
        assert_close(get_reference_logits(reference, model), peak)

    def test_snapshot_is_written_into_an_earlier_one(self, tiny_model_dir):
        model = load_model(tiny_model_dir, LORA_CONFIGS["plain"])
        reference = ReferencePolicy.for_model(model)
        first = reference.snapshot(model)
        places = [value.data_ptr() for value in first.values()]
        disturb(model)
        second = reference.snapshot(model, into=first)
        assert [value.data_ptr() for value in second.values()] == places
        trained = {name: value for name, value in model.get_base_model().named_parameters() if "lora_" in name}
        assert_same_state(second, trained)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"use_dora": True}, "`peft_config` must be plain LoRA"),
            ({"bias": "lora_only"}, "`bias` must be 'none'"),
            ({"init_lora_weights": "pissa"}, "`init_lora_weights` must be one of"),
            ({"modules_to_save": ["lm_head"]}, "`modules_to_save` must be empty"),
        ],
    )
    def test_adapters_that_are_not_plain_are_refused(self, tiny_model_dir, options, message):
        with pytest.raises(ValueError, match=message):
            ReferencePolicy.for_model(load_model(tiny_model_dir, {"r": 2, **options}))

    def test_models_loaded_with_an_adapter_inside_are_refused(self, tiny_model_dir, tmp_path):
        load_model(tiny_model_dir, {"r": 2}).save_pretrained(tmp_path)
        model = StyleVARForConditionalGeneration.from_pretrained(tmp_path)
        with pytest.raises(ValueError, match="`model` must be a `PeftModel` or have no adapter"):
            ReferencePolicy.for_model(model)


class TestCopyReference:
    def test_copy_stays_until_it_is_renewed(self, tiny_model_dir):
        model = load_model(tiny_model_dir)
        reference = ReferencePolicy.for_model(model)
        assert isinstance(reference, CopyReferencePolicy)
        start = get_logits(model)
        disturb(model, std=0.02)
        policy = get_logits(model)
        assert (policy - start).abs().max() > 0.01
        assert torch.equal(get_reference_logits(reference, model), start)
        places = [value.data_ptr() for value in reference.model.parameters()]
        reference.update(model)
        assert torch.equal(get_logits(model), policy)
        assert torch.equal(get_reference_logits(reference, model), policy)
        assert [value.data_ptr() for value in reference.model.parameters()] == places

    def test_what_is_frozen_is_shared_and_nothing_else(self, tiny_model_dir):
        model = load_model(tiny_model_dir)
        model.model.style_encoder.requires_grad_(False)
        reference = ReferencePolicy.for_model(model)
        copied = dict(reference.model.named_parameters())
        trained = {name for name, value in model.named_parameters() if value.requires_grad}
        for name, value in model.named_parameters():
            assert (copied[name].data_ptr() == value.data_ptr()) == (name not in trained), name
        assert not any(value.requires_grad for value in reference.model.parameters())
        assert any(value.requires_grad for value in model.parameters())
        assert not any(module.training for module in reference.model.modules())

    def test_copy_follows_the_policy_to_its_device(self, tiny_model_dir):
        model = load_model(tiny_model_dir)
        model.vq_model.requires_grad_(False)  # shared, so that it moves with the policy and looks as if all had
        reference = ReferencePolicy.for_model(model)
        model.to("meta")
        with reference.log_probs_context(model) as copied:
            tensors = [*copied.parameters(), *copied.buffers()]
            assert {tensor.device.type for tensor in tensors} == {"meta"}

    def test_snapshot_takes_both_back(self, tiny_model_dir):
        model = load_model(tiny_model_dir)
        reference = ReferencePolicy.for_model(model)
        disturb(model, seed=1, std=0.02)
        peak, snapshot = get_logits(model), reference.snapshot(model)
        disturb(model, seed=2, std=0.02)
        reference.update(model, snapshot)
        assert torch.equal(get_logits(model), peak)
        assert torch.equal(get_reference_logits(reference, model), peak)


@pytest.mark.parametrize("lora", [None, LORA_CONFIGS["plain"]], ids=["full", "lora"])
class TestUpdate:
    def test_optimizer_forgets_the_trained_parameters(self, tiny_model_dir, lora):
        model = load_model(tiny_model_dir, lora)
        reference = ReferencePolicy.for_model(model)
        trained = [value for value in model.parameters() if value.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=1e-3)
        model(**make_batch()).loss.backward()
        optimizer.step()
        assert len(optimizer.state) == len(trained)
        groups = [group["params"] for group in optimizer.param_groups]
        optimizer.zero_grad()
        reference.update(model, optimizer=optimizer)
        assert len(optimizer.state) == 0
        assert groups == [group["params"] for group in optimizer.param_groups]
        policy, before = get_logits(model), get_reference_logits(reference, model)
        model(**make_batch()).loss.backward()
        optimizer.step()
        assert all(optimizer.state[value]["step"] == 1 for value in trained)
        assert not torch.equal(get_logits(model), policy)
        assert torch.equal(get_reference_logits(reference, model), before)

    @pytest.mark.parametrize("given", ["policy", "snapshot"])
    def test_weights_that_are_not_finite_change_nothing(self, tiny_model_dir, lora, given):
        model = load_model(tiny_model_dir, lora)
        reference = ReferencePolicy.for_model(model)
        snapshot = reference.snapshot(model)
        last = list(snapshot)[-1]
        if given == "policy":
            with torch.no_grad():
                reference._trained_parameters(model)[last].fill_(math.nan)
            snapshot = None
        else:
            snapshot[last].fill_(math.inf)
        before, reference_before = clone_state(model), get_reference_logits(reference, model)
        with pytest.raises(FloatingPointError, match="`weights` must be finite"):
            reference.update(model, snapshot)
        assert reference.num_updates == 0
        for name, value in model.state_dict().items():
            assert torch.equal(value.nan_to_num(), before[name].nan_to_num())
        assert torch.equal(get_reference_logits(reference, model), reference_before)

    def test_snapshots_of_another_model_are_refused(self, tiny_model_dir, lora):
        model = load_model(tiny_model_dir, lora)
        reference = ReferencePolicy.for_model(model)
        snapshot = reference.snapshot(model)
        snapshot.pop(next(iter(snapshot)))
        with pytest.raises(ValueError, match="`weights` must be the tensors of this model, but got nothing for"):
            reference.update(model, snapshot)

    def test_whether_the_policy_is_the_reference_is_known(self, tiny_model_dir, lora):
        model = load_model(tiny_model_dir, lora)
        reference = ReferencePolicy.for_model(model)
        assert reference.is_policy(model)
        disturb(model)
        assert not reference.is_policy(model)
        reference.update(model)
        assert reference.is_policy(model)

    def test_reference_takes_no_gradient(self, tiny_model_dir, lora):
        model = load_model(tiny_model_dir, lora)
        reference = ReferencePolicy.for_model(model)
        with reference.log_probs_context(model) as reference_model:
            assert not reference_model(**make_batch()).logits.requires_grad
        assert model(**make_batch()).logits.requires_grad

    def test_wrapped_models_are_taken_as_they_are(self, tiny_model_dir, lora, tmp_path):
        torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
        try:
            model = load_model(tiny_model_dir, lora)
            reference = ReferencePolicy.for_model(model)
            wrapped = DistributedDataParallel(model, find_unused_parameters=True)
            optimizer = torch.optim.AdamW([value for value in model.parameters() if value.requires_grad], lr=1e-2)
            for _ in range(2):  # the hooks must outlive an update
                get_reference_logits(reference, wrapped)
                wrapped(**make_batch()).loss.backward()
                optimizer.step()
                optimizer.zero_grad()
                policy = get_logits(model)
                assert not torch.equal(get_reference_logits(reference, wrapped), policy)
                reference.update(wrapped, reference.snapshot(wrapped), optimizer)
                assert_close(get_reference_logits(reference, wrapped), policy)
        finally:
            torch.distributed.destroy_process_group()


class TestReferenceSchedule:
    def run(self, schedule, rewards, kls=None):
        """Step by step; what was due, by the number of the step (from 1), and the steps with a new peak."""
        due, peaks = {}, []
        for step, reward in enumerate(rewards, start=1):
            if schedule.observe(reward, None if kls is None else kls[step - 1]):
                peaks.append(step)
            if (reason := schedule.due()) is not None:
                due[step] = reason
                schedule.updated()
        return due, peaks

    def test_average_is_that_of_the_definition(self):
        schedule = ReferenceSchedule(ema_decay=0.75)
        averages = []
        for reward in (4.0, 8.0, 0.0):
            schedule.observe(reward, None)
            averages.append(schedule.average)
        assert averages == [4.0, 5.0, 3.75]
        assert (schedule.baseline, schedule.peak, schedule.steps_since_peak) == (4.0, 5.0, 1)

    def test_gain_is_needed(self):
        options = {"ema_decay": 0.0, "patience": 1, "min_steps": 0, "gain": 0.5}
        assert self.run(ReferenceSchedule(**options), [0, 0.49, 0, 0])[0] == {}
        assert self.run(ReferenceSchedule(**options), [0, 0.5, 0, 0])[0] == {3: "gain"}

    def test_patience_counts_steps_since_the_peak(self):
        options = {"ema_decay": 0.0, "min_steps": 0, "gain": 0.5, "patience": 3}
        due, peaks = self.run(ReferenceSchedule(**options), [0, 1, 0, 0, 1.1, 0, 1.1, 0, 0])
        assert due == {8: "gain"}  # a reward as high as the peak is no new one
        assert peaks == [1, 2, 5, 9]

    def test_steps_between_updates_are_kept(self):
        options = {"ema_decay": 0.0, "patience": 1, "gain": 0.5, "min_steps": 5}
        due, _ = self.run(ReferenceSchedule(**options), [0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0])
        assert due == {5: "gain", 10: "gain"}

    def test_baseline_is_the_peak_that_became_the_reference(self):
        schedule = ReferenceSchedule(ema_decay=0.0, patience=1, gain=0.5, min_steps=0)
        due, peaks = self.run(schedule, [0, 1, 0.9, 1.4, 1.3, 1.5, 0])
        assert due == {3: "gain", 7: "gain"}
        assert peaks == [1, 2, 4, 6]
        assert schedule.baseline == 1.5

    def test_emergency_needs_a_high_divergence_and_the_cooldown(self):
        options = {"emergency_kl": 2.0, "emergency_cooldown": 3}
        rewards = [1, 0, 0, 0, 0, 0, 0, 0]
        assert self.run(ReferenceSchedule(**options), rewards, [2.0] * 8)[0] == {}
        every = self.run(ReferenceSchedule(**options), rewards, [2.1] * 8)[0]
        assert every == {3: "emergency", 6: "emergency"}
        late = self.run(ReferenceSchedule(**options), rewards, [0, 0, 0, 0, 0, math.inf, 0, 0])[0]
        assert late == {6: "emergency"}
        assert self.run(ReferenceSchedule(emergency_kl=None), rewards, [9.0] * 8)[0] == {}

    def test_gain_comes_before_emergency(self):
        options = {"ema_decay": 0.0, "patience": 1, "min_steps": 0, "emergency_cooldown": 0, "emergency_kl": 1.0}
        assert self.run(ReferenceSchedule(**options), [0, 1, 0], [0, 0, 9.0])[0] == {3: "gain"}

    def test_published_defaults(self):
        rewards = [0.0] * 200 + [1.0] * 60 + [-1.0] * 60
        due, peaks = self.run(ReferenceSchedule(), rewards, [0.1] * len(rewards))
        assert due == {310: "gain"}  # the peak at step 260, 50 steps later, and not before step 300
        assert peaks[:2] == [1, 201] and peaks[60] == 260

    @pytest.mark.parametrize("missing", [None, math.nan, math.inf, -math.inf])
    def test_steps_without_a_reward_count_and_leave_the_average(self, missing):
        options = {"ema_decay": 0.0, "patience": 2, "min_steps": 4, "gain": 0.5}
        schedule = ReferenceSchedule(**options)
        due, peaks = self.run(schedule, [missing, 0, 1, missing, missing])
        assert due == {5: "gain"} and peaks == [2, 3]
        assert schedule.average == 1

    def test_divergence_that_is_not_a_number_is_no_emergency(self):
        schedule = ReferenceSchedule(emergency_cooldown=0)
        assert self.run(schedule, [0, 0], [math.nan, math.nan])[0] == {}

    def test_state_goes_on_exactly(self):
        generator = torch.Generator().manual_seed(0)
        rewards = (torch.randn(60, generator=generator) * 0.3 + torch.linspace(0, 1, 60)).tolist()
        kls = (torch.rand(60, generator=generator) * 2.2).tolist()
        options = {"ema_decay": 0.8, "patience": 2, "min_steps": 8, "emergency_cooldown": 5}
        whole = ReferenceSchedule(**options)
        expected = self.run(whole, rewards, kls)
        assert {"gain", "emergency"} == set(expected[0].values())
        for stop in (1, 20, 41):
            first, second = ReferenceSchedule(**options), ReferenceSchedule(**options)
            due, peaks = self.run(first, rewards[:stop], kls[:stop])
            second.load_state_dict(json.loads(json.dumps(first.state_dict())))
            later, more = self.run(second, rewards[stop:], kls[stop:])
            assert ({**due, **{s + stop: r for s, r in later.items()}}, peaks + [s + stop for s in more]) == expected
            assert second.state_dict() == whole.state_dict()

    @pytest.mark.parametrize(
        ("name", "value"),
        [("gain", 0), ("ema_decay", 1), ("patience", -1), ("min_steps", -1), ("emergency_kl", 0)],
    )
    def test_options_out_of_range_are_refused(self, name, value):
        with pytest.raises(ValueError, match=f"`{name}` must be"):
            ReferenceSchedule(**{name: value})


def saved_adapter(reference):
    """How the policy is saved, if it has an adapter."""
    return SavedAdapter(reference.weights) if isinstance(reference, AdapterReferencePolicy) else None


def restore(reference, saved, folder, model):
    """Whether that restored the policy, too."""
    reference.load(folder)
    return saved is not None and saved.load_parts(folder, model)


class RewardedTrainer(AtomicCheckpointMixin, Trainer):
    """Supervised steps with made-up rewards, wired as in `StyleVARGRPOTrainer`."""

    rewards = (0.0, 1.0, 0.5, 0.5, 0.5, 0.5, 2.0, 0.0, 0.0, 0.0)
    options = {"ema_decay": 0.0, "gain": 0.5, "patience": 2, "min_steps": 3}  # updates at steps 4 and 9

    def __init__(self, model, args, kl=0.0):
        super().__init__(
            model=model, args=args, train_dataset=[{k: v[0] for k, v in make_batch(i).items()} for i in range(4)]
        )
        self.kl = kl
        self.reference = ReferencePolicy.for_model(model, seed=args.seed)
        self.saved = saved_adapter(self.reference)
        self.iterative_reference = IterativeReferenceCallback(self, **self.options)
        self.add_callback(self.iterative_reference)
        self.seen = []

    @property
    def last_step_reward(self):
        return self.rewards[self.state.global_step]

    @property
    def last_step_kl(self):
        return self.kl

    def training_step(self, model, *args, **kwargs):
        self.model.eval()
        self.seen.append((self.state.global_step, get_logits(model), get_reference_logits(self.reference, model)))
        return super().training_step(model, *args, **kwargs)

    def compute_loss(self, model, *args, **kwargs):
        model.eval()  # BatchNorm
        return super().compute_loss(model, *args, **kwargs)

    def is_whole(self):
        return self.saved is None or self.saved.is_whole(self.model, self.reference.num_updates > 0)

    def _save(self, output_dir=None, state_dict=None):
        trained, whole = self.model, self.is_whole()
        if self.saved is not None and whole:
            self.model, state_dict = self.saved.merged(trained)
        try:
            super()._save(output_dir, state_dict)
        finally:
            self.model = trained
        if self.args.should_save and self.saved is not None:
            self.saved.remove_stale_files(output_dir or self.args.output_dir, self.model, whole)

    def _save_more(self, output_dir):
        if self.args.should_save:
            self.reference.save(output_dir)
            if self.saved is not None:
                self.saved.save_parts(output_dir, self.model, self.is_whole())
            self.iterative_reference.save(output_dir)

    def _load_from_checkpoint(self, checkpoint, model=None):
        if not restore(self.reference, self.saved, checkpoint, self.model):
            super()._load_from_checkpoint(checkpoint, model)

    def _load_best_model(self):
        if not restore(self.reference, self.saved, self.state.best_model_checkpoint, self.model):
            super()._load_best_model()

    def _load_optimizer_and_scheduler(self, checkpoint):
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None:
            self.iterative_reference.load(checkpoint)


def make_trainer(folder, model, **options):
    options = {"max_steps": 10, "save_steps": 1, "save_strategy": "steps", "learning_rate": 2e-2, **options}
    arguments = TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=2,
        report_to="none",
        use_cpu=True,
        disable_tqdm=True,
        logging_strategy="no",
        lr_scheduler_type="constant",
        **options,
    )
    return RewardedTrainer(model, arguments)


@pytest.fixture(scope="module", params=[None, LORA_CONFIGS["rslora"]], ids=["full", "lora"])
def finished_run(request, tiny_model_dir, tmp_path_factory):
    """Ten steps with checkpoints at each; nobody may change it."""
    folder = tmp_path_factory.mktemp("run")
    rate = 2e-2 if request.param else 2e-3
    trainer = make_trainer(folder, load_model(tiny_model_dir, request.param), learning_rate=rate)
    trainer.train()
    trainer.save_model()
    return SimpleNamespace(folder=folder, trainer=trainer, lora=request.param, rate=rate, base=tiny_model_dir)


class TestTraining:
    def test_peak_that_acted_becomes_the_reference(self, finished_run):
        trainer = finished_run.trainer
        assert trainer.reference.num_updates == 2
        policy = {step: logits for step, logits, _ in trainer.seen}
        reference = {step: logits for step, _, logits in trainer.seen}
        # Reward 1 was that of the weights before the second step; after the fourth step they are the reference.
        assert torch.equal(reference[3], reference[0])
        assert_close(reference[4], policy[1])
        assert_close(policy[4], policy[1])
        assert (policy[3] - policy[1]).abs().max() > 1e-3
        # The highest average since then, by the seventh reward.
        assert torch.equal(reference[8], reference[4])
        assert_close(reference[9], policy[6])
        assert (policy[6] - policy[4]).abs().max() > 1e-3

    def test_metrics_tell_the_state(self, finished_run):
        metrics = finished_run.trainer.iterative_reference.metrics()
        assert metrics["reference/num_updates"] == 2 and metrics["reference/reward_baseline"] == 2
        assert all(isinstance(value, float) for value in metrics.values())

    # Before an update, right after it, and with a peak from before the checkpoint.
    @pytest.mark.parametrize("step", [3, 4, 8])
    def test_resumed_run_is_bitwise_the_same(self, finished_run, tmp_path, step):
        model = load_model(finished_run.base, finished_run.lora)
        resumed = make_trainer(tmp_path, model, learning_rate=finished_run.rate, save_strategy="no")
        resumed.train(resume_from_checkpoint=str(finished_run.folder / f"checkpoint-{step}"))
        whole = finished_run.trainer
        assert_same_state(resumed.model.state_dict(), whole.model.state_dict())
        assert resumed.reference.num_updates == 2
        assert resumed.iterative_reference.schedule.state_dict() == whole.iterative_reference.schedule.state_dict()
        for (_, *found), (_, *expected) in zip(resumed.seen, whole.seen[step:], strict=True):
            assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
        assert_same_state(resumed.iterative_reference.peak_weights, whole.iterative_reference.peak_weights)

    @pytest.mark.parametrize("step", [3, 4, 6, 9, None])
    def test_saved_model_loads_plainly(self, finished_run, step):
        folder = finished_run.folder if step is None else finished_run.folder / f"checkpoint-{step}"
        model, info = StyleVARForConditionalGeneration.from_pretrained(folder, output_loading_info=True)
        assert not info["missing_keys"] and not info["unexpected_keys"]
        trainer = finished_run.trainer
        expected = get_logits(trainer.model) if step in (10, None) else trainer.seen[step][1]
        assert_close(get_logits(model.eval()), expected)
        is_adapter = os.path.exists(folder / "adapter_config.json")
        assert is_adapter == (finished_run.lora is not None and step == 3)
        assert is_adapter != os.path.exists(folder / "model.safetensors")

    def test_checkpoint_from_before_an_update_is_gone_back_to(self, finished_run):
        model = load_model(finished_run.base, finished_run.lora)
        reference = ReferencePolicy.for_model(model)
        saved, start = saved_adapter(reference), get_logits(model)
        checkpoints = [finished_run.folder / f"checkpoint-{step}" for step in (9, 3)]
        assert restore(reference, saved, checkpoints[0], model) == (finished_run.lora is not None)
        assert reference.num_updates == 2
        assert_close(get_reference_logits(reference, model), finished_run.trainer.seen[9][2])
        assert not restore(reference, saved, checkpoints[1], model)
        assert reference.num_updates == 0
        assert torch.equal(get_reference_logits(reference, model), start)

    def test_best_model_from_before_an_update_is_loaded(self, finished_run, tmp_path):
        model = load_model(finished_run.base, finished_run.lora)
        trainer = make_trainer(tmp_path, model, save_strategy="no")
        restore(trainer.reference, trainer.saved, finished_run.folder / "checkpoint-9", model)
        trainer.state.best_model_checkpoint = str(finished_run.folder / "checkpoint-3")
        trainer._load_best_model()
        assert torch.equal(get_logits(trainer.model), finished_run.trainer.seen[3][1])

    def test_nothing_temporary_is_left(self, finished_run):
        names = {name for _, _, files in os.walk(finished_run.folder) for name in files}
        assert not any(name.endswith(".tmp") for name in names)

    def test_resuming_without_loading_is_refused(self, finished_run, tmp_path, monkeypatch):
        monkeypatch.setattr(RewardedTrainer, "_load_optimizer_and_scheduler", Trainer._load_optimizer_and_scheduler)
        trainer = make_trainer(tmp_path, load_model(finished_run.base, finished_run.lora), save_strategy="no")
        with pytest.raises(RuntimeError, match="`IterativeReferenceCallback.load` must be called"):
            trainer.train(resume_from_checkpoint=str(finished_run.folder / "checkpoint-3"))

    def test_other_kinds_of_checkpoints_are_refused(self, finished_run, tmp_path):
        model = load_model(finished_run.base, None if finished_run.lora else LORA_CONFIGS["plain"])
        reference = ReferencePolicy.for_model(model)
        with pytest.raises(ValueError, match="`resume_from_checkpoint` must come from the same kind of training"):
            reference.load(finished_run.folder / "checkpoint-9")
        message = "`resume_from_checkpoint` must be of the same kind of training, with the file reference.json"
        with pytest.raises(FileNotFoundError, match=message):
            reference.load(tmp_path)

    def test_emergency_goes_back_to_the_peak(self, tiny_model_dir, tmp_path, caplog):
        model = load_model(tiny_model_dir, LORA_CONFIGS["plain"])
        trainer = make_trainer(tmp_path, model, save_strategy="no", max_steps=4)
        trainer.kl = 9.0
        trainer.iterative_reference.schedule.emergency_cooldown = 3
        trainer.train()
        policy = {step: logits for step, logits, _ in trainer.seen}
        reference = {step: logits for step, _, logits in trainer.seen}
        assert trainer.reference.num_updates == 1
        assert_close(reference[3], policy[1])


class TestSaving:
    def test_folder_takes_either_form_after_the_other(self, tiny_model_dir, tmp_path):
        model = load_model(tiny_model_dir, LORA_CONFIGS["plain"])
        trainer = make_trainer(tmp_path, model)
        disturb(model, seed=1)
        trainer.save_model()
        assert torch.equal(get_logits(load_model(tmp_path)), get_logits(model))
        trainer.reference.update(model)
        disturb(model, seed=2)
        trainer.save_model()
        assert_close(get_logits(load_model(tmp_path)), get_logits(model))
        # Another run in the same folder
        model = load_model(tiny_model_dir, LORA_CONFIGS["plain"])
        disturb(model, seed=3)
        make_trainer(tmp_path, model).save_model()
        assert_close(get_logits(load_model(tmp_path)), get_logits(model))

    def test_adapter_beside_its_base_leaves_the_base(self, tiny_model_dir, tmp_path):
        StyleVARForConditionalGeneration.from_pretrained(tiny_model_dir).save_pretrained(tmp_path)
        model = load_model(tmp_path, LORA_CONFIGS["plain"])
        disturb(model)
        make_trainer(tmp_path, model).save_model()
        assert_close(get_logits(load_model(tmp_path)), get_logits(model))

    def test_base_that_was_never_saved_is_saved_with_the_adapter_merged(self, tiny_config, tmp_path):
        model = StyleVARForConditionalGeneration(tiny_config)
        for layer in model.model.layers:
            nn.init.normal_(layer.modulation.weight)
        start = clone_state(model)
        model = add_adapter(model, LoraConfig(**LORA_CONFIGS["plain"])).eval()
        disturb(model)
        trainer = make_trainer(tmp_path, model)
        trainer.save_model()
        trainer.saved.save_parts(tmp_path, model, whole=True)
        assert_close(get_logits(load_model(tmp_path)), get_logits(model))
        other = StyleVARForConditionalGeneration(tiny_config)
        other.load_state_dict(start)
        other = add_adapter(other, LoraConfig(**LORA_CONFIGS["plain"]))
        assert SavedAdapter(AdapterWeights(other)).load_parts(tmp_path, other)
        assert_same_state(other.state_dict(), model.state_dict())
