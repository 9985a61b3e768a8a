# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from test_distributed import free_port
from test_sft_trainer import assert_same_weights, make_trainer, make_triplets, weights_of

from stylevar_hf.training.common.stream_passes import STREAM_STATE_NAME


ROOT = Path(__file__).parent.parent


def make_stream(num_rows: int = 11, num_shards: int = 1):
    """Shuffled anew in each pass; each row has a content of its own."""
    rows = make_triplets(num_rows).remove_columns("content_id")
    rows = rows.add_column("content_id", [f"content-{row}" for row in range(num_rows)])
    return rows.to_iterable_dataset(num_shards=num_shards).shuffle(seed=0, buffer_size=4)


def run(folder, resume=None, num_rows=11, num_shards=1, **options):
    """The trainer, and step, contents and pixels of every batch."""
    defaults = {"max_steps": 10, "per_device_train_batch_size": 2, "save_strategy": "steps", "save_steps": 1}
    trainer = make_trainer(folder, train=make_stream(num_rows, num_shards), **{**defaults, **options})
    batches, compute_loss = [], trainer.compute_loss

    def watch(model, inputs, *args, **kwargs):
        pixels = inputs["content_pixel_values"].sum().item()
        batches.append((trainer.state.global_step, tuple(inputs["content_id"]), pixels))
        return compute_loss(model, inputs, *args, **kwargs)

    trainer.compute_loss = watch
    trainer.train(resume_from_checkpoint=resume)
    return trainer, batches


class TestResumption:
    @pytest.mark.parametrize(
        ("options", "steps"),
        [
            # Six batches a pass; seven, of which the last is left over; five, by two workers.
            ({"save_steps": 6, "max_steps": 8}, (6,)),
            ({"gradient_accumulation_steps": 2, "num_rows": 13, "augmentation": True, "save_steps": 4}, (4, 8)),
            ({"dataloader_num_workers": 2, "num_shards": 2, "num_rows": 10, "save_steps": 7}, (7,)),
        ],
    )
    def test_rows_and_weights_are_those_of_an_uninterrupted_run(self, tmp_path, options, steps):
        trainer, batches = run(tmp_path / "whole", **options)
        assert trainer.state.epoch > 1
        for step in steps:
            checkpoint = str(tmp_path / "whole" / f"checkpoint-{step}")
            resumed, rest = run(tmp_path / "resumed", checkpoint, save_strategy="no", **options)
            assert rest == [batch for batch in batches if batch[0] >= step]
            assert_same_weights(weights_of(resumed.model), weights_of(trainer.model))
            assert resumed.state.epoch == pytest.approx(trainer.state.epoch)

    def test_longer_run_goes_on_in_its_pass(self, tmp_path):
        _, batches = run(tmp_path / "whole", save_strategy="no", max_steps=9)
        run(tmp_path / "short", max_steps=4, save_steps=4)  # in the middle of the first pass
        run(tmp_path / "short", "auto", max_steps=8, save_steps=8)
        _, rest = run(tmp_path / "short", "auto", save_strategy="no", max_steps=9)
        assert rest == batches[8:]

    def test_pass_that_was_saved_at_its_end_is_over(self, tmp_path):
        options = {"save_strategy": "epoch", "eval_strategy": "epoch", "num_sample_images": 0}
        evaluation = {"evaluation": make_triplets(2)}
        run(tmp_path / "whole", **options, **evaluation)
        state = json.loads((tmp_path / "whole" / "checkpoint-6" / STREAM_STATE_NAME).read_text())
        assert state == {"pass": 1, "updates_in_pass": 0}
        checkpoint = str(tmp_path / "whole" / "checkpoint-6")
        trainer, rest = run(tmp_path / "resumed", checkpoint, **options, **evaluation)
        assert rest[0][0] == 6
        assert not (tmp_path / "resumed" / "checkpoint-6").exists()
        assert sum("eval_loss" in entry for entry in trainer.state.log_history) == 2

    def test_finished_run_is_not_trained_on(self, tmp_path):
        run(tmp_path, max_steps=3, save_steps=3)
        trainer, batches = run(tmp_path, "auto", max_steps=3)
        assert (batches, trainer.state.global_step) == ([], 3)

    def test_checkpoint_of_a_run_without_a_stream_is_refused(self, tmp_path):
        run(tmp_path, max_steps=2, save_steps=2)
        os.remove(tmp_path / "checkpoint-2" / STREAM_STATE_NAME)
        with pytest.raises(FileNotFoundError, match=f"same kind of training, with the file {STREAM_STATE_NAME}"):
            run(tmp_path, "auto", max_steps=4)


class TestPasses:
    def test_stream_too_short_for_an_update_is_refused(self, tmp_path):
        with pytest.raises(ValueError, match=r"`train_dataset` must be of enough rows for an update \(16, .* Lower"):
            run(tmp_path, num_rows=6, gradient_accumulation_steps=8)

    @pytest.mark.slow
    def test_parts_of_different_length_end_together(self, tmp_path):
        script = tmp_path / "worker.py"
        script.write_text(
            textwrap.dedent(
                f"""
                import json, sys
                sys.path[:0] = [{str(ROOT / "tests")!r}]
                from test_stream_passes import run
                import torch

                folder = {str(tmp_path / "run")!r}
                # Seven and six rows: two updates in one process, one and a half in the other.
                options = {{"num_rows": 13, "num_shards": 2, "gradient_accumulation_steps": 2, "max_steps": 4}}
                options["save_steps"] = 2
                trainer, batches = run(folder, **options)
                again, rest = run(folder, folder + "/checkpoint-2", **options)
                weights = [sum(p.double().sum() for p in part.model.parameters()) for part in (trainer, again)]
                report = {{"size": trainer.args.world_size, "batches": batches, "rest": rest}}
                report["weights"] = [weight.item() for weight in weights]
                with open(folder + f"/{{trainer.args.process_index}}.json", "w") as file:
                    json.dump(report, file)
                trainer.accelerator.end_training()
                """
            )
        )
        launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2"]
        result = subprocess.run(
            [*launcher, "--master_port", free_port(), str(script)],
            env={**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-6000:]
        first, second = (json.loads((tmp_path / "run" / f"{rank}.json").read_text()) for rank in (0, 1))
        assert first["size"] == 2
        assert first["weights"] == second["weights"]
        assert first["weights"][0] == first["weights"][1]
        for report in (first, second):
            assert len(report["batches"]) == 8
            assert report["rest"] == [batch for batch in report["batches"] if batch[0] >= 2]
        assert not {i for _, ids, _ in first["batches"] for i in ids} & {
            i for _, ids, _ in second["batches"] for i in ids
        }
