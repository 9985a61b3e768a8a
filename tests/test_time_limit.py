# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
import time

import pytest
from transformers import TrainerControl, TrainerState, TrainingArguments

from stylevar_hf.training.common.time_limit import TimeLimitCallback


class TestTimeLimitCallback:
    @pytest.mark.parametrize("save_strategy", ["no", "steps"])
    def test_stops_and_saves_once_the_time_is_up(self, save_strategy, tmp_path, monkeypatch):
        now = 100.0
        monkeypatch.setattr(time, "monotonic", lambda: now)
        args = TrainingArguments(output_dir=str(tmp_path), save_strategy=save_strategy, use_cpu=True)
        callback, control = TimeLimitCallback(5.0), TrainerControl()
        callback.on_train_begin(args, TrainerState(), control)
        now = 104.9
        callback.on_step_end(args, TrainerState(), control)
        assert not control.should_training_stop and not control.should_save
        now = 105.0
        callback.on_step_end(args, TrainerState(), control)
        assert control.should_training_stop
        assert control.should_save == (save_strategy == "steps")

    @pytest.mark.parametrize("max_seconds", [0, -1.0, float("nan")])
    def test_limit_must_be_positive(self, max_seconds):
        with pytest.raises(ValueError, match="`max_seconds` must be above 0"):
            TimeLimitCallback(max_seconds)
