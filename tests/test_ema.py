# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
import shutil

import safetensors.torch
import torch
from test_sft_trainer import assert_same_weights, make_trainer, make_triplets
from transformers import TrainerCallback


class EvaluatedWeights(TrainerCallback):
    """Keeps the weights that each set was evaluated with."""

    def __init__(self):
        self.seen = []

    def on_evaluate(self, args, state, control, model=None, **kwargs):
        self.seen.append({name: value.clone() for name, value in model.state_dict().items()})


class TestEvaluation:
    def test_every_set_of_a_dict_is_evaluated_with_the_average(self, tmp_path):
        sets = {name: make_triplets(2) for name in ("first", "second")}
        spy = EvaluatedWeights()
        trainer = make_trainer(
            tmp_path,
            evaluation=sets,
            trainer_options={"callbacks": [spy]},
            ema_decay=0.9,
            max_steps=3,
            eval_strategy="steps",
            eval_steps=2,
            logging_steps=1,
            num_sample_images=0,
        )
        trainer.train()
        logs = {name: value for log in trainer.state.log_history for name, value in log.items()}
        assert logs["eval_first_loss"] == logs["eval_second_loss"]
        first, second = spy.seen[:2]
        assert_same_weights(first, second)
        assert any(not torch.equal(first[name], value) for name, value in trainer.model.state_dict().items())

    def test_weights_in_training_come_back(self, tmp_path):
        options = {"ema_decay": 0.9, "max_steps": 3, "num_sample_images": 0}
        plain = make_trainer(tmp_path / "plain", **options)
        plain.train()
        evaluated = make_trainer(
            tmp_path / "evaluated", evaluation=make_triplets(2), eval_strategy="steps", eval_steps=1, **options
        )
        evaluated.train()
        assert_same_weights(plain.model.state_dict(), evaluated.model.state_dict())


class TestResume:
    def test_average_comes_from_the_folder_that_is_resumed_from(self, tmp_path):
        options = {"ema_decay": 0.5, "save_strategy": "steps", "save_steps": 2, "max_steps": 4}
        whole = make_trainer(tmp_path / "run", **options)
        whole.train()
        backup, name = tmp_path / "backup" / "checkpoint-2", "ema.safetensors"
        shutil.copytree(tmp_path / "run" / "checkpoint-2", backup)
        # What lies in the output folder under the same step is another run's.
        other = safetensors.torch.load_file(tmp_path / "run" / "checkpoint-2" / name)
        other = {key: torch.zeros_like(value) for key, value in other.items()}
        safetensors.torch.save_file(other, tmp_path / "run" / "checkpoint-2" / name)
        resumed = make_trainer(tmp_path / "run", **options)
        resumed.train(resume_from_checkpoint=str(backup))
        assert_same_weights(whole.model.state_dict(), resumed.model.state_dict())
