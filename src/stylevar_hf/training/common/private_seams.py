# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""
What this package takes from others that is not theirs to promise: methods of trainers that are overridden, and
attributes that are read. setup.py bounds the releases accordingly; a test looks at each with the installed ones.
"""

# Overridden methods by the class that defines them, with the parameters that they must have.
OVERRIDDEN = {
    "transformers.Trainer": {
        "_get_dataloader": ("dataset",),
        "_get_output_dir": ("trial",),
        "_init_training_state": (
            "max_steps",
            "num_update_steps_per_epoch",
            "num_train_epochs",
            "resume_from_checkpoint",
            "trial",
        ),
        "_load_best_model": (),
        "_load_from_checkpoint": ("resume_from_checkpoint", "model"),
        "_load_optimizer_and_scheduler": ("checkpoint",),
        "_push_from_checkpoint": ("checkpoint_folder",),
        "_remove_unused_columns": ("dataset", "description"),
        "_save": ("output_dir", "state_dict"),
        "_save_checkpoint": ("model", "trial"),
        "_set_signature_columns_if_needed": (),
    },
    "trl.GRPOTrainer": {
        "_compute_loss": ("model", "inputs"),
        "_generate_and_score_completions": ("inputs",),
        "_get_train_sampler": ("dataset",),
        "_load_optimizer_and_scheduler": ("checkpoint",),
        "_prepare_inputs": ("generation_batch",),
        "_save_checkpoint": ("model", "trial"),
    },
}

# Attributes and functions that are read or called, by where they are.
READ = {
    "transformers:Trainer": ("_finish_current_push",),
    "transformers.trainer_utils": ("rotate_checkpoints", "has_length"),
    "trl:GRPOTrainer": ("_log_completion_extra", "_log_metric"),
    "trl.extras.profiling": ("profiling_context",),
    "trl.models": ("unwrap_model_for_generation",),
    "trl.trainer.utils": ("RepeatSampler", "is_async_callable"),
    "datasets:Dataset": ("_indices", "_fingerprint"),
    "datasets:IterableDataset": ("_resolve_features",),
    "peft.functional": ("delete_adapter",),
    "peft.tuners.lora:Linear": ("get_delta_weight", "reset_lora_parameters"),
    "argparse:HelpFormatter": ("_format_action_invocation", "_format_args", "_get_help_string"),
}


__all__ = ["OVERRIDDEN", "READ"]
