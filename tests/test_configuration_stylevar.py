# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0

import pytest
from huggingface_hub import HfApi
from transformers import AutoConfig, PreTrainedConfig

from stylevar_hf import BLEND_ALPHA_SCHEDULES, StyleVARConfig, StyleVARVQConfig, configuration_stylevar


class TestDefaults:
    def test_defaults_are_the_released_model(self):
        config = StyleVARConfig()
        assert (config.hidden_size, config.num_hidden_layers, config.num_attention_heads) == (1280, 20, 20)
        assert config.patch_nums == (1, 2, 3, 4, 5, 6, 8, 10, 13, 16)
        assert (config.sequence_length, config.image_size) == (680, 256)
        assert config.blend_alphas == (0.2, 0.3, 0.4, 0.4, 0.5, 0.5, 0.6, 0.6, 0.7, 0.8)
        assert config.drop_path_rate == pytest.approx(0.1 * 20 / 24)
        assert config.encoder_config.hidden_sizes == [64, 128, 256, 512]
        assert config.encoder_config.layer_type == "basic"

    def test_named_schedules_have_one_alpha_per_scale(self):
        assert {len(schedule) for schedule in BLEND_ALPHA_SCHEDULES.values()} == {10}

    def test_default_alphas_are_resampled_for_another_ladder(self):
        config = StyleVARConfig(vq_config={"patch_nums": (1, 2, 3, 4)})
        assert config.blend_alphas == pytest.approx((0.2, 0.4, 0.6, 0.8))


class TestLadder:
    def test_patch_nums_live_in_the_vq_config(self):
        config = StyleVARConfig(vq_config=StyleVARVQConfig(patch_nums=(1, 3, 5)))
        assert config.patch_nums == config.vq_config.patch_nums == (1, 3, 5)
        assert "patch_nums" not in {key for key in config.to_dict() if key != "vq_config"}

    def test_boundaries_cover_the_sequence(self):
        config = StyleVARVQConfig(patch_nums=(1, 2, 4))
        assert config.scale_boundaries == ((0, 1), (1, 5), (5, 21))
        assert config.sequence_length == 21

    @pytest.mark.parametrize(
        "num_scales, num_phi, expected",
        [
            (10, 4, (0, 0, 1, 1, 1, 2, 2, 3, 3, 3)),  # the released tokenizer
            (4, 4, (0, 1, 2, 3)),
            (10, 1, (0,) * 10),
            (6, 6, (0, 1, 2, 3, 4, 5)),
            (5, 2, (0, 0, 0, 1, 1)),  # a tie goes to the first
            (1, 4, (0,)),
        ],
    )
    def test_phi_is_the_one_with_the_nearest_tick(self, num_scales, num_phi, expected):
        config = StyleVARVQConfig(patch_nums=tuple(range(1, num_scales + 1)), num_shared_phi=num_phi)
        assert config.phi_indices == expected


class TestSaving:
    def test_round_trip_keeps_every_field(self, tmp_path):
        config = StyleVARConfig(
            hidden_size=64,
            num_attention_heads=2,
            blend_alphas=(0.1, 0.9),
            alpha_jitter=0.15,
            legacy_kv_duplication=True,
            vq_config={"patch_nums": (1, 2), "base_channels": 32, "num_shared_phi": 1},
        )
        config.save_pretrained(tmp_path)
        assert StyleVARConfig.from_pretrained(tmp_path).to_diff_dict() == config.to_diff_dict()
        assert AutoConfig.from_pretrained(tmp_path).to_diff_dict() == config.to_diff_dict()

    def test_tokenizer_config_can_be_read_from_the_models(self, tmp_path):
        StyleVARConfig(vq_config={"patch_nums": (1, 2), "codebook_size": 7}).save_pretrained(tmp_path)
        assert StyleVARVQConfig.from_pretrained(tmp_path).codebook_size == 7


class TestWithoutNetwork:
    @pytest.fixture
    def listed(self, monkeypatch):
        """As if the network were on; what is asked for its files, and cannot be reached."""
        repositories = []

        def list_repo_files(api, repo_id, **kwargs):
            repositories.append(repo_id)
            raise RuntimeError("a connection error of some HTTP client")

        monkeypatch.setattr(configuration_stylevar, "is_offline_mode", lambda: False)
        monkeypatch.setattr(HfApi, "list_repo_files", list_repo_files)
        return repositories

    def test_unreachable_repository_is_asked_once(self, listed):
        with pytest.raises(OSError, match="couldn't connect"):
            StyleVARConfig.from_pretrained("nobody/nothing")
        assert listed == []

    def test_connection_that_breaks_later_is_no_other_error(self, listed, monkeypatch):
        monkeypatch.setattr(PreTrainedConfig, "get_config_dict", lambda *_, **__: ({}, {}))
        assert StyleVARConfig.get_config_dict("nobody/nothing") == ({}, {})
        assert listed == ["nobody/nothing"]


class TestBadValues:
    @pytest.mark.parametrize(
        "fields, message",
        [
            ({"blend_alphas": (0.5, 0.5)}, r"`blend_alphas` must be one value per scale \(10 .*but got \(0.5, 0.5\)"),
            ({"blend_alphas": (1.5,) * 10}, r"`blend_alphas` must be in \[0, 1\]"),
            ({"num_attention_heads": 7}, r"`num_attention_heads` must be a divisor of `hidden_size` \(1280\)"),
            ({"label_smoothing": 1.0}, r"`label_smoothing` must be in \[0, 1\)"),
            ({"patch_nums": (1, 2)}, "`patch_nums` must be set in `vq_config`"),
            ({"vq_config": {"num_channels": 1}}, r"`encoder_config.num_channels` must be that of `vq_config` \(1\)"),
            ({"hidden_size": 0}, "`hidden_size` must be positive"),
            ({"alpha_jitter": -0.1}, "`alpha_jitter` must be 0 or more"),
            ({"vq_config": {"patch_nums": (1, 1, 2)}}, "`patch_nums` must be a strictly increasing ladder"),
            ({"vq_config": {"patch_nums": ()}}, "`patch_nums` must be a strictly increasing ladder"),
            ({"vq_config": {"base_channels": 33}}, "`norm_num_groups` must be a divisor"),
            ({"vq_config": {"num_shared_phi": 0}}, "`num_shared_phi` must be positive"),
            ({"vq_config": {"residual_ratio": 2.0}}, r"`residual_ratio` must be in \[0, 1\]"),
        ],
    )
    def test_error_names_field_rule_and_value(self, fields, message):
        with pytest.raises(ValueError, match=message):
            StyleVARConfig(**fields)

    @pytest.mark.parametrize(
        "fields, message",
        [
            ({"blend_alphas": (0.5, 0.5)}, r"`blend_alphas` must be one value per scale \(10 .*but got \(0.5, 0.5\)"),
            ({"num_attention_heads": 7}, r"`num_attention_heads` must be a divisor of `hidden_size` \(1280\)"),
            ({"patch_nums": (1, 2)}, "`patch_nums` must be set in `vq_config`"),
        ],
    )
    def test_fields_changed_at_loading_are_checked_too(self, fields, message, tmp_path):
        StyleVARConfig().save_pretrained(tmp_path)
        with pytest.raises(ValueError, match=message):
            StyleVARConfig.from_pretrained(tmp_path, **fields)
        StyleVARVQConfig().save_pretrained(tmp_path)
        with pytest.raises(ValueError, match="`patch_nums` must be a strictly increasing ladder"):
            StyleVARVQConfig.from_pretrained(tmp_path, patch_nums=(2, 1))
