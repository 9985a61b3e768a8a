# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
import io

import numpy as np
import torch
from test_sft_trainer import make_trainer, make_triplets
from transformers import TrainerState
from transformers.integrations import TensorBoardCallback

from stylevar_hf.training.common.log_lines import log_line
from stylevar_hf.training.common.pictures import draw_grid


class TestLogLine:
    def test_shows_what_people_read(self):
        state = TrainerState(global_step=20, max_steps=400, epoch=0.5)
        logs = {"loss": 4.83123, "learning_rate": 2.5e-4, "grad_norm": "1.25", "epoch": 0.5, "loss_scale_3": 2.0}
        logs |= {"rewards/ssim/mean": 0.3, "eval_runtime": 3.0, "total_flos": 1e9, "best": None}
        assert log_line(logs, state) == "step 20/400, epoch 0.5: loss 4.831, lr 0.00025, gradient 1.25"

    def test_ends_with_the_time(self):
        state = TrainerState(global_step=4, max_steps=4)
        logs = {"train_runtime": 3723.0, "train_loss": 4.0, "train_steps_per_second": 1.0}
        assert log_line(logs, state) == "step 4/4, epoch 0: train_loss 4, 1 h 2 min in all"

    def test_is_none_without_numbers(self):
        assert log_line({"epoch": 1.0, "total_flos": 3.0}, TrainerState()) is None


class TestTraining:
    def test_prints_one_line_per_log_and_keeps_all_numbers(self, tmp_path, capsys):
        trainer = make_trainer(tmp_path, max_steps=2, logging_steps=1)
        trainer.train()
        lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("step")]
        assert len(lines) == 3 and lines[0].startswith("step 1/2, epoch 0.5: loss ") and "scale" not in lines[0]
        assert "loss_scale_0" in trainer.state.log_history[0]

    def test_draws_samples_of_training_where_nothing_is_held_out(self, tmp_path):
        make_trainer(tmp_path, max_steps=1, num_sample_images=2).train()
        assert (tmp_path / "samples" / "step-1.png").is_file()

    def test_tensorboard_shows_the_samples(self, tmp_path):
        class Writer(io.StringIO):
            images = []

            def add_image(self, name, picture, step, dataformats):
                self.images.append((name, picture.shape, step, dataformats))

        trainer = make_trainer(tmp_path, max_steps=1, num_sample_images=2, evaluation=make_triplets(2))
        board = TensorBoardCallback.__new__(TensorBoardCallback)
        board.tb_writer = writer = Writer()
        trainer.callback_handler.callbacks.append(board)
        board.on_train_begin = board.on_log = board.on_train_end = lambda *args, **kwargs: None
        trainer.train()
        (name, shape, step, dataformats), *others = writer.images
        assert (name, step, dataformats, others) == ("samples", 1, "HWC", [])
        assert shape[2] == 3 and shape[0] > 2 * 16


class TestDrawGrid:
    def test_captions_stand_above_the_columns(self):
        row = torch.full((2, 3, 8, 8), -1.0)
        plain, captioned = np.asarray(draw_grid([row])), np.asarray(draw_grid([row], ["a", "b"]))
        assert captioned.shape[0] == plain.shape[0] + 14
        assert (captioned[14:] == plain).all() and (captioned[:14] < 128).any()
