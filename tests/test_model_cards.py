# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
import ast
import json
import re
import shutil
from pathlib import Path

import pytest
from huggingface_hub import ModelCard, constants
from local_hub import LocalHub, card_errors

from stylevar_hf import StyleVARConfig
from stylevar_hf.checkpoints.fingerprints import own_fingerprint
from stylevar_hf.evaluation.metrics import METRIC_NAMES
from stylevar_hf.hub import CardFacts, Result, find_data_sources, make_card, read_results
from stylevar_hf.hub.card_facts import architecture_facts, environment_facts
from stylevar_hf.hub.model_card import PLACEHOLDER, with_repo_id, with_results
from stylevar_hf.hub.published_cards import main, paper_results, published_cards
from stylevar_hf.hub.results import METRICS, results_table


FOLDER = Path(__file__).parents[1] / "model_cards"
NAMES = [
    "stylevar-grpo",
    "stylevar-mini",
    "stylevar-mini-grpo",
    "stylevar-mini-grpo-lora",
    "stylevar-sft",
]
FACTS = CardFacts(
    name="my-style",
    image_size=64,
    repo_id="me/my-style",
    base_model="me/base",
    license="apache-2.0",
    data=find_data_sources(["omnistyle:/data", "me/triplets", "disk:/home/me/secret"]),
    training={"seed": 3, "nothing": None},
    results=[Result("set a", "ssim", 0.5, 0.4, 0.6, count=20), Result("set a", "ssim", 0.2, system="content")],
    tags=["mine"],
)


@pytest.fixture
def validation(monkeypatch):
    """`ModelCard.validate` asks a Hub on this machine."""
    with LocalHub() as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        yield hub


def code_blocks(card: ModelCard) -> list[str]:
    return re.findall(r"```python\n(.*?)```", card.text, re.DOTALL)


class TestPublishedCards:
    def test_are_up_to_date(self):
        cards = published_cards(FOLDER)
        assert sorted(cards) == sorted(path.stem for path in FOLDER.glob("*.md")) == NAMES
        for name, card in cards.items():
            found = (FOLDER / f"{name}.md").read_text(encoding="utf-8")
            assert found == str(card), f"run `python -m stylevar_hf.hub.published_cards` for {name}"

    @pytest.mark.parametrize("name", NAMES)
    def test_are_valid_for_the_hub(self, name, validation):
        card = ModelCard.load(FOLDER / f"{name}.md")
        card.validate()
        assert validation.requests["validate_yaml"] == 1
        data = card.data
        assert data.pipeline_tag == "image-to-image" and data.license and "arxiv:2604.21052" in data.tags
        assert data.library_name == ("peft" if name.endswith("lora") else "transformers")
        for text in (
            "## Limits",
            "256x256" if "mini" not in name else "pixels",
            "Faces",
            "internet",
            "@article{jing2026",
        ):
            assert text in card.text
        for code in code_blocks(card):
            ast.parse(code)
            assert f"stylevar-hf/{name}" in code

    def test_figures_of_the_paper_are_marked_as_such(self):
        for name, style_loss in (("stylevar-sft", 0.0452), ("stylevar-grpo", 0.0387)):
            card = ModelCard.load(FOLDER / f"{name}.md")
            assert "The figures are the paper's own" in card.text and f"| {style_loss:.4f} |" in card.text
            assert {result.source_url for result in card.data.eval_results} == {"https://arxiv.org/abs/2604.21052"}
            values = {(one.dataset_name, one.metric_type): one.metric_value for one in card.data.eval_results}
            assert values["ImagePulse", "style_loss"] == style_loss and len(values) == 21

    def test_paper_has_every_number_once(self):
        results = paper_results("GRPO")
        assert len(results) == 42 and len({(r.dataset, r.metric, r.system) for r in results}) == 42

    def test_own_figures_are_read_and_never_invented(self, tmp_path):
        assert "Not measured." in published_cards(tmp_path)["stylevar-mini"].text
        (tmp_path / "measured").mkdir()
        numbers = {"results": [{"dataset": "held out", "metric": "ssim", "value": 0.625}]}
        (tmp_path / "measured" / "stylevar-mini.results.json").write_text(json.dumps(numbers))
        (tmp_path / "measured" / "stylevar-mini.training.json").write_text('{"length": "7 steps"}')
        card = published_cards(tmp_path)["stylevar-mini"]
        assert "| held out | 0.6250 |" in card.text and "* length: 7 steps" in card.text
        assert "Not measured." not in card.text and card.data.eval_results[0].metric_value == 0.625

    def test_adapter_has_the_figures_of_its_merged_model(self):
        cards = published_cards(FOLDER)
        adapter, merged = cards["stylevar-mini-grpo-lora"], cards["stylevar-mini-grpo"]
        figures = [[result.metric_value for result in card.data.eval_results] for card in (adapter, merged)]
        assert figures[0] == figures[1] and figures[0]
        assert "Measured with the adapter merged, as stylevar-mini-grpo." in adapter.text
        assert "merged, as" not in merged.text

    def test_command_checks_and_writes(self, tmp_path, capsys):
        assert main(["--output", str(tmp_path), "--check"]) == 1 and list(tmp_path.iterdir()) == []
        assert main(["--output", str(tmp_path)]) == 0
        assert sorted(path.stem for path in tmp_path.iterdir()) == NAMES
        capsys.readouterr()
        assert main(["--output", str(tmp_path), "--check"]) == 0 and capsys.readouterr().out == ""


class TestMakeCard:
    def test_says_all_that_is_known(self):
        card = make_card(FACTS)
        data = card.data
        assert (data.base_model, data.license, data.metrics) == ("me/base", "apache-2.0", ["ssim"])
        assert data.datasets == ["StyleXX/OmniStyle-150k", "me/triplets"] and "mine" in data.tags
        assert [result.metric_value for result in data.eval_results] == [0.5], "controls are no results of the model"
        for text in ("* seed: 3", "states no licence", "| set a | **this model** | 20 | 0.5000 [0.4000, 0.6000] |"):
            assert text in card.text
        assert "secret" not in str(card) and "nothing" not in card.text

    def test_local_base_is_not_named(self, tmp_path):
        card = make_card(CardFacts("x", 64, kind="adapter", base_model=str(tmp_path)))
        assert card.data.base_model is None and str(tmp_path) not in str(card)
        assert "No licence has been stated" in card.text and "Not measured." in card.text

    def test_placeholder_gets_the_name_of_the_repository(self):
        card = make_card(CardFacts("x", 64))
        assert all(PLACEHOLDER in code for code in code_blocks(card))
        named = with_repo_id(card, "me/x")
        assert all("me/x" in code for code in code_blocks(named)) and PLACEHOLDER not in str(named)

    def test_results_are_replaced_in_text_and_metadata(self):
        card = with_results(make_card(FACTS), [Result("set b", "lpips", 0.25)])
        assert "set b" in card.text and "set a" not in card.text
        assert card.text.count("## Evaluation") == 1 and "## Limits" in card.text
        assert [result.metric_value for result in card.data.eval_results] == [0.25] and card.data.metrics == ["lpips"]
        assert with_results(make_card(CardFacts("x", 64)), FACTS.results).data.model_name == "x"

    def test_facts_of_configs_and_machines(self):
        facts = architecture_facts(StyleVARConfig(legacy_kv_duplication=True), 5_000_000)
        assert facts["scales"].endswith("(680 codes)") and facts["parameters"].startswith("5.0 M")
        assert "legacy_kv_duplication" in facts["inference"]
        assert {"hardware", "versions"} <= environment_facts().keys()

    @pytest.mark.parametrize(
        ("head", "problem"),
        [
            ("license: bogus", "license"),
            ("pipeline_tag: painting", "pipeline_tag"),
            ("datasets: /home/me/data", "datasets"),
            ("base_model: /home/me/base", "base_model"),
        ],
    )
    def test_validation_finds_what_is_wrong(self, head, problem, validation):
        content = f"---\n{head}\n---\n# x\n"
        assert card_errors(content)
        with pytest.raises(ValueError, match=problem):
            ModelCard(content).validate()

    def test_validation_reads_the_results(self):
        assert card_errors("---\nmodel-index:\n- name: x\n  results:\n  - metrics: [{}]\n---\n# x\n")


class TestResults:
    def write(self, tmp_path, content: object) -> Path:
        path = tmp_path / "results.json"
        path.write_text(json.dumps(content))
        return path

    def test_file_of_the_evaluation(self, tmp_path):
        number = {"mean": 0.5, "low": 0.4, "high": 0.6}
        report = {
            "format": 1,
            "systems": {
                "mine": {"title": "mine", "kind": "model"},
                "content": {"title": "return the content", "kind": "control"},
                "mine+swapped": {"title": "mine, another pair's style", "kind": "swapped"},
            },
            "measures": {"novel": {"title": "novel measure", "higher_is_better": True, "digits": 1}},
            "sets": {
                "held_out": {
                    "num_pairs": 7,
                    "hub_dataset": "me/data",
                    "means": {"mine": {"ssim": number, "novel": {"mean": 3, "low": None, "high": None}},
                              "content": {"ssim": number}, "mine+swapped": {"ssim": number}},
                }
            },
        }  # fmt: skip
        results = read_results(self.write(tmp_path, report))
        assert [(one.metric, one.system, one.count) for one in results] == [
            ("ssim", None, 7),
            ("novel", None, 7),
            ("ssim", "return the content", 7),
        ]
        assert results[0].dataset == "held out" and results[0].dataset_id == "me/data"
        table = results_table(results)
        assert (
            "novel measure ↑" in table and "| held out | **this model** | 7 | 0.5000 [0.4000, 0.6000] | 3.0 |" in table
        )
        assert read_results(self.write(tmp_path, report), model="another") == []

    @pytest.mark.parametrize("content", [[], {}, {"sets": [1]}, {"sets": {"a": {"means": {"model": {"x": "y"}}}}}, 3])
    def test_unknown_forms_are_passed_over(self, content, tmp_path):
        assert read_results(self.write(tmp_path, content)) == []

    def test_numbers_that_are_none_are_passed_over(self, tmp_path):
        values = {"a": True, "b": float("nan"), "c": None, "d": {"mean": 1}}
        results = read_results(self.write(tmp_path, {"sets": {"s": {"means": {"model": values}}}}))
        assert [(one.metric, one.value) for one in results] == [("d", 1)]

    def test_of_several_checkpoints_the_one_of_the_folder(self, tiny_model_dir, tmp_path, caplog):
        folder = tmp_path / "second"
        shutil.copytree(tiny_model_dir, folder)
        names = {"first": "0" * 16, "other": own_fingerprint(str(folder)), "third": "1" * 16}
        report = {
            "settings": {"models": {name: {"fingerprint": found} for name, found in names.items()}},
            "systems": {name: {"title": name, "kind": "model"} for name in names},
            "sets": {"s": {"means": {name: {"ssim": place} for place, name in enumerate(names)}}},
        }
        own = [one.value for one in read_results(self.write(folder, report)) if one.system is None]
        assert own == [1]  # the same weights, whatever the folder was called
        (folder / "generation_config.json").write_text("{}")
        with caplog.at_level("WARNING", logger="stylevar_hf"):
            assert read_results(folder / "results.json") == []
        assert "first, other, third, all of other weights" in caplog.text
        folder = folder.rename(tmp_path / "third")
        assert [one.value for one in read_results(folder / "results.json") if one.system is None] == [2]

    def test_metrics_of_the_evaluation_are_known_to_the_hub(self):
        known = {name for name, metric in METRICS.items() if metric.hub_id}
        assert known == set(METRIC_NAMES) - {"style_loss", "content_loss"}

    def test_missing_file_and_broken_file(self, tmp_path):
        assert read_results(tmp_path / "results.json") == []
        (tmp_path / "results.json").write_text("{")
        with pytest.raises(ValueError, match="`results` must be JSON"):
            read_results(tmp_path / "results.json")


class TestDataSources:
    def test_names_of_the_scripts_and_of_the_hub(self):
        found = find_data_sources(
            ["omnistyle:/a", "StyleXX/OmniStyle-150k", "procedural", "hub:me/x", "/data/x", "a/b/c"]
        )
        assert [source.hub_id for source in found] == ["StyleXX/OmniStyle-150k", None, "me/x", None]
        assert found[-1].name == "private data"
        assert find_data_sources(None) == [] and find_data_sources("coco")[0].name == "COCO train2017"
