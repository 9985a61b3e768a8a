# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""What is not promised by transformers, TRL, PEFT and datasets is there, in the releases that are installed."""

import inspect
import pkgutil

import datasets
import pytest
import transformers
import trl

from stylevar_hf.training import StyleVARGRPOTrainer, StyleVARSFTTrainer, StyleVARVQTrainer
from stylevar_hf.training.common.private_seams import OVERRIDDEN, READ


OWNERS = {"transformers.Trainer": transformers.Trainer, "trl.GRPOTrainer": trl.GRPOTrainer}


def overridden_methods() -> set[str]:
    """Private methods of others that a class of this package defines anew."""
    found = set()
    for trainer in (StyleVARSFTTrainer, StyleVARGRPOTrainer, StyleVARVQTrainer):
        ours = [kind for kind in trainer.__mro__ if kind.__module__.startswith("stylevar_hf")]
        theirs = [kind for kind in trainer.__mro__ if kind not in ours and kind is not object]
        for name in {name for kind in ours for name in vars(kind)}:
            private = name.startswith("_") and not name.startswith("__")
            if private and any(callable(vars(kind).get(name)) for kind in theirs):
                found.add(name)
    return found


def test_every_override_is_listed():
    assert overridden_methods() == {name for methods in OVERRIDDEN.values() for name in methods}


@pytest.mark.parametrize(("owner", "name"), [(owner, name) for owner in OVERRIDDEN for name in OVERRIDDEN[owner]])
def test_overridden_methods_have_their_signatures(owner, name):
    parameters = list(inspect.signature(getattr(OWNERS[owner], name)).parameters)
    needed = OVERRIDDEN[owner][name]
    assert parameters[1 : 1 + len(needed)] == list(needed)


@pytest.mark.parametrize(("place", "name"), [(place, name) for place in READ for name in READ[place]])
def test_what_is_read_is_there(place, name):
    if place.startswith("datasets:"):  # some of it is made with the instance
        rows = datasets.Dataset.from_dict({"a": [1]})
        owner = rows if place.endswith(":Dataset") else rows.to_iterable_dataset()
    else:
        owner = pkgutil.resolve_name(place)
    assert hasattr(owner, name)
