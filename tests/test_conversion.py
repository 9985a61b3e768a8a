# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0
"""Published checkpoints to our format and back."""

import argparse
import collections
import functools
import importlib.util
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import GenerationConfig, ResNetModel

from stylevar_hf import (
    StyleVARConfig,
    StyleVARForConditionalGeneration,
    StyleVARImageProcessor,
    bundled_checkpoint,
    convert_original_checkpoint,
    convert_to_original,
    convert_var_checkpoint,
)
from stylevar_hf.conversion import read as conversion_io
from stylevar_hf.conversion.layouts import (
    PHI_RENAMES,
    STYLEVAR_RENAMES,
    STYLEVAR_UNUSED,
    VQ_RENAMES,
    VQ_UNUSED,
    published_layout,
)


FIXTURES = Path(__file__).parent / "fixtures"
LADDER = (1, 2, 3, 4)
ALPHAS = (0.2, 0.4, 0.6, 0.8)
# Where the published files hold values that no output depends on
UNUSED = ("v_bias_guide", "q_bias_target", "zero_k_bias_guide", "zero_k_bias_target", "ema_vocab_hit_SV")


def _fill(keys_file: str, seed: int = 1, ladder=LADDER) -> dict[str, torch.Tensor]:
    spec = importlib.util.spec_from_file_location("fill_checkpoint", FIXTURES / "fill_checkpoint.py")
    fill_checkpoint = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fill_checkpoint)
    return fill_checkpoint.fill(str(FIXTURES / keys_file), seed, ladder)


def _with_narrow_trunks(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same with an eighth of the channels in both ResNets, for small files."""
    narrow = {}
    for name, tensor in state.items():
        if "_encoder." in name:
            tensor = tensor[tuple(slice(size // 8 if size > 7 else size) for size in tensor.shape)].clone()
        narrow[name] = tensor
    return narrow | {"feat_emb.weight": state["feat_emb.weight"][:, :64].clone()}


VQ_STATE = _fill("tiny_vae_keys.json")
FULL_STATE = _fill("tiny_stylevar_keys.json")
STATE = _with_narrow_trunks(FULL_STATE)


@pytest.fixture(scope="module")
def vq_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("published") / "vae.pth"
    torch.save(VQ_STATE, path)
    return path


@pytest.fixture(scope="module")
def model_path(vq_path):
    path = vq_path.with_name("stylevar.pth")
    torch.save(STATE, path)
    return path


@pytest.fixture(scope="module")
def converted(vq_path, model_path):
    return convert_original_checkpoint(vq_path, model_path, vq_path.with_name("converted"), blend_alphas=ALPHAS)


@pytest.fixture(scope="module")
def plain_weights(converted):
    return load_file(converted / "model.safetensors")


@pytest.fixture
def convert(vq_path, tmp_path):
    """Saves `content` as a published transformer, converts it, returns our weights."""

    def run(content, vq=None, **kwargs):
        path = tmp_path / "content.pth"
        torch.save(content, path)
        kwargs = {"blend_alphas": ALPHAS, **kwargs}
        folder = convert_original_checkpoint(vq or vq_path, path, tmp_path / "out", **kwargs)
        return load_file(folder / "model.safetensors")

    return run


def _assert_same(weights, expected):
    assert weights.keys() == expected.keys()
    for name in expected:
        assert torch.equal(weights[name], expected[name]), name


def _with_lora(rank: int = 4, seed: int = 0) -> tuple[dict, dict]:
    """LoRA tensors for every projection and MLP layer, in the published names, and the state dict wrapped in them."""
    generator = torch.Generator().manual_seed(seed)
    lora, wrapped = {}, {}
    for name, tensor in STATE.items():
        layer, _, kind = name.rpartition(".")
        if not layer.endswith(("mat_qkv_guide", "mat_qkv_target", ".proj", "fc1", "fc2")):
            wrapped[name] = tensor
            continue
        wrapped[f"{layer}.base_{kind}"] = tensor
        if kind == "weight":
            lora[f"{layer}.lora_A"] = torch.randn(rank, tensor.shape[1], generator=generator)
            lora[f"{layer}.lora_B"] = torch.randn(tensor.shape[0], rank, generator=generator)
    return lora, wrapped | lora


def _merged(lora: dict, scaling: float) -> dict:
    """The dense weights, in double precision."""
    merged = dict(STATE)
    for name in lora:
        if name.endswith(".lora_A"):
            layer = name.removesuffix(".lora_A")
            update = lora[f"{layer}.lora_B"].double() @ lora[name].double()
            merged[f"{layer}.weight"] = (STATE[f"{layer}.weight"].double() + scaling * update).float()
    return merged


class TestConvertedFolder:
    def test_loads_without_missing_or_unexpected_weights(self, converted):
        model, info = StyleVARForConditionalGeneration.from_pretrained(converted, output_loading_info=True)
        assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs"))
        assert model.config.patch_nums == LADDER and model.config.blend_alphas == ALPHAS
        sizes = (model.config.hidden_size, model.config.num_hidden_layers, model.config.num_attention_heads)
        assert sizes == (192, 3, 3)
        assert (model.config.vq_config.base_channels, model.config.vq_config.codebook_size) == (32, 128)
        assert model.config.vq_config.channel_multipliers == (1, 1, 2, 2, 4)
        encoder = model.config.encoder_config
        assert (encoder.embedding_size, encoder.hidden_sizes, encoder.depths) == (8, [8, 16, 32, 64], [2, 2, 2, 2])

    def test_teacher_forced_logits_equal_the_published_ones(self, vq_path, tmp_path):
        torch.save(FULL_STATE, tmp_path / "stylevar.pth")
        converted = convert_original_checkpoint(vq_path, tmp_path / "stylevar.pth", tmp_path / "out", None, ALPHAS)
        goldens = load_file(FIXTURES / "goldens_tiny_seed1.safetensors")
        content, style = (goldens[name].float() / 255 * 2 - 1 for name in ("content_uint8", "style_uint8"))
        model = StyleVARForConditionalGeneration.from_pretrained(converted).eval()
        with torch.no_grad():
            logits = model(content, style, labels=goldens["target_codes"]).logits
        torch.testing.assert_close(logits, goldens["logits"], atol=1e-4, rtol=0)

    def test_holds_generation_defaults_processor_and_card(self, converted):
        generation = GenerationConfig.from_pretrained(converted)
        assert (generation.do_sample, generation.top_k, generation.top_p) == (True, 900, 0.96)
        assert dict(StyleVARImageProcessor.from_pretrained(converted).size) == {"height": 64, "width": 64}
        card = (converted / "README.md").read_text()
        assert "pipeline_tag: image-to-image" in card and "vae.pth" in card and "stylevar.pth" in card

    def test_carries_the_source_files_of_every_auto_class(self, converted):
        config = json.loads((converted / "config.json").read_text())
        assert config["auto_map"].keys() >= {"AutoConfig", "AutoModel"}
        assert (converted / "modeling_stylevar.py").is_file()

    def test_sharded_files_hold_the_same_weights(self, vq_path, model_path, plain_weights, tmp_path):
        folder = convert_original_checkpoint(
            vq_path, model_path, tmp_path / "out", blend_alphas=ALPHAS, max_shard_size="8MB"
        )
        shards = sorted(folder.glob("*.safetensors"))
        assert len(shards) > 2
        _assert_same({name: tensor for shard in shards for name, tensor in load_file(shard).items()}, plain_weights)
        model = StyleVARForConditionalGeneration.from_pretrained(folder)
        assert torch.equal(model.lm_head.weight, plain_weights["lm_head.weight"])

    @pytest.mark.parametrize("dtype", ["bfloat16", torch.float16])
    def test_dtype_casts_all_but_what_the_model_keeps_in_float32(
        self, vq_path, model_path, plain_weights, dtype, tmp_path
    ):
        folder = convert_original_checkpoint(
            vq_path, model_path, tmp_path / "out", blend_alphas=ALPHAS, dtype=dtype, progress=True
        )
        dtype = getattr(torch, dtype) if isinstance(dtype, str) else dtype
        weights = load_file(folder / "model.safetensors")
        assert weights["model.layers.0.mlp.fc1.weight"].dtype == dtype
        assert torch.equal(weights["lm_head.weight"], plain_weights["lm_head.weight"])
        assert torch.equal(weights["vq_model.quantizer.codebook.weight"], VQ_STATE["quantize.embedding.weight"])
        assert weights["model.style_encoder.embedder.embedder.normalization.num_batches_tracked"].dtype == torch.int64
        assert StyleVARForConditionalGeneration.from_pretrained(folder).dtype == dtype


class TestContainers:
    @pytest.mark.parametrize("key", ["model", "state_dict", "model_state_dict", "weights", "params"])
    def test_state_dict_under_a_key(self, convert, plain_weights, key):
        _assert_same(convert({"epoch": 3, key: STATE}), plain_weights)

    @pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod."])
    def test_wrapper_prefixes_are_removed(self, convert, plain_weights, prefix):
        _assert_same(convert({"model": {prefix + name: tensor for name, tensor in STATE.items()}}), plain_weights)

    def test_prefix_of_compiled_blocks_is_removed(self, convert, plain_weights):
        state = {name.replace("blocks.1.", "blocks.1._orig_mod."): tensor for name, tensor in STATE.items()}
        _assert_same(convert(state), plain_weights)

    def test_trainer_checkpoint_serves_as_both_files(self, plain_weights, tmp_path):
        layer = torch.nn.Linear(2, 2)
        optimizer = torch.optim.AdamW(layer.parameters())
        layer(torch.ones(1, 2)).sum().backward()
        optimizer.step()
        trainer = {"config": {"patch_nums": LADDER}, "var_wo_ddp": STATE, "vae_local": VQ_STATE}
        trainer["var_opt"] = {"optimizer": optimizer.state_dict()}
        path = tmp_path / "ar-ckpt-best.pth"
        torch.save({"epoch": 1, "trainer": trainer, "args": argparse.Namespace(depth=3)}, path)
        folder = convert_original_checkpoint(path, path, tmp_path / "out", blend_alphas=ALPHAS)
        _assert_same(load_file(folder / "model.safetensors"), plain_weights)

    def test_file_in_the_format_before_zip(self, vq_path, plain_weights, tmp_path):
        path = tmp_path / "old.pth"
        torch.save({"model": STATE}, path, _use_new_zipfile_serialization=False)
        folder = convert_original_checkpoint(vq_path, path, tmp_path / "out", blend_alphas=ALPHAS)
        _assert_same(load_file(folder / "model.safetensors"), plain_weights)

    def test_parameters_and_slices_are_written_as_they_look(self, convert, plain_weights):
        state = collections.OrderedDict(STATE)
        for name, tensor in STATE.items():
            if tensor.ndim == 2 and tensor.is_floating_point():
                state[name] = torch.nn.Parameter(tensor.T.contiguous().T)
        _assert_same(convert(state), plain_weights)


class TestLoRA:
    @pytest.mark.parametrize(
        ("rank", "args", "scaling"),
        [
            (4, {"lora_rank": 4, "lora_alpha": 6.0}, 1.5),
            (4, argparse.Namespace(lora_rank=4, lora_alpha=8), 2.0),
            (4, {"lora_alpha": 2.0}, 0.5),
            (3, {}, 2.0),  # the published defaults, alpha 512 and rank 256, whatever the rank
        ],
    )
    def test_wrapped_checkpoint_equals_a_dense_merge(self, convert, rank, args, scaling):
        lora, wrapped = _with_lora(rank)
        expected = _merged(lora, scaling)
        weights = convert({"step": 7, "model": wrapped, "args": args})
        for layer in range(3):
            ours, published = f"model.layers.{layer}", f"blocks.{layer}"
            query = weights[f"{ours}.attention.q_proj.weight"]
            torch.testing.assert_close(query, expected[f"{published}.attn.mat_qkv_guide.weight"][:192])
            key_value = [weights[f"{ours}.attention.{name}_proj.weight"] for name in "kv"]
            torch.testing.assert_close(torch.cat(key_value), expected[f"{published}.attn.mat_qkv_target.weight"][192:])
            torch.testing.assert_close(weights[f"{ours}.mlp.fc2.weight"], expected[f"{published}.ffn.fc2.weight"])
            assert torch.equal(weights[f"{ours}.mlp.fc2.bias"], STATE[f"{published}.ffn.fc2.bias"])

    def test_lora_alone_on_a_base_equals_the_wrapped_checkpoint(self, convert, tmp_path):
        lora, wrapped = _with_lora()
        base = tmp_path / "base.pth"
        torch.save({"trainer": {"var_wo_ddp": STATE}}, base)
        args = {"lora_rank": 4, "lora_alpha": 8.0}
        expected = convert({"model": wrapped, "args": args})
        weights = convert({"model": lora, "args": args}, base_path=base, overwrite=True)
        _assert_same(weights, expected)

    def test_base_may_be_wrapped_itself(self, convert, tmp_path):
        (first, wrapped), (second, _) = _with_lora(seed=0), _with_lora(seed=1)
        base = tmp_path / "base.pth"
        torch.save({"model": wrapped, "args": {"lora_alpha": 4.0}}, base)
        weights = convert({"module." + name: tensor for name, tensor in second.items()}, base_path=base)
        name = "blocks.2.attn.proj"
        updates = [lora[f"{name}.lora_B"] @ lora[f"{name}.lora_A"] for lora in (first, second)]
        expected = STATE[f"{name}.weight"] + 1.0 * updates[0] + 2.0 * updates[1]
        torch.testing.assert_close(weights["model.layers.2.attention.o_proj.weight"], expected)

    def test_lora_alone_without_base_is_refused(self, convert):
        with pytest.raises(ValueError, match="`model_path` must hold full weights, or come with `base_path`"):
            convert(_with_lora()[0])

    def test_lora_alone_on_lora_alone_is_refused(self, convert, tmp_path):
        torch.save(_with_lora()[0], tmp_path / "base.pth")
        with pytest.raises(ValueError, match="`base_path` must hold full weights"):
            convert(_with_lora()[0], base_path=tmp_path / "base.pth")

    def test_half_an_adapter_is_refused(self, convert):
        lora, wrapped = _with_lora()
        del wrapped["blocks.1.ffn.fc1.lora_B"]
        with pytest.raises(ValueError, match=r"lora_A.*blocks\.1\.ffn\.fc1"):
            convert(wrapped)

    def test_adapter_of_a_wider_model_is_refused(self, convert, model_path):
        lora, _ = _with_lora()
        lora["blocks.1.ffn.fc1.lora_A"] = torch.zeros(4, 200)
        with pytest.raises(ValueError, match=r"\(768, 200\) for blocks\.1\.ffn\.fc1\.weight"):
            convert(lora, base_path=model_path)

    def test_adapter_of_a_deeper_model_is_refused(self, convert, model_path):
        lora, _ = _with_lora()
        lora |= {name.replace("blocks.2", "blocks.3"): tensor for name, tensor in lora.items()}
        with pytest.raises(ValueError, match=r"blocks\.3\.attn.*does not have"):
            convert(lora, base_path=model_path)

    def test_rank_against_the_arguments_is_refused(self, convert):
        with pytest.raises(ValueError, match="rank 4 beside lora_rank=8"):
            convert({"model": _with_lora()[1], "args": {"lora_rank": 8}})


class TestStrictness:
    def test_missing_weights_are_listed(self, convert):
        state = {name: tensor for name, tensor in STATE.items() if ".ffn.fc2." not in name}
        with pytest.raises(
            ValueError, match=r"`model_path`.*missing: 6 tensors \(blocks\.0\.ffn\.fc2\.weight, .*\.\.\."
        ):
            convert(state)

    def test_missing_parameter_without_influence_is_listed(self, convert):
        state = {name: tensor for name, tensor in STATE.items() if name != "blocks.1.attn.v_bias_guide"}
        with pytest.raises(ValueError, match=r"missing: 1 tensor \(blocks\.1\.attn\.v_bias_guide\)"):
            convert(state)

    def test_unexpected_weights_are_listed(self, convert):
        with pytest.raises(ValueError, match=r"content\.pth with unexpected: 1 tensor \(blocks\.0\.attn\.gate\)"):
            convert(STATE | {"blocks.0.attn.gate": torch.zeros(3)})

    @pytest.mark.parametrize("name", ["blocks.1.attn.mat_qkv_target.weight", "head.bias", "attn_bias_for_masking"])
    def test_misshaped_weights_are_listed(self, convert, name):
        with pytest.raises(ValueError, match=rf"mis-shaped: 1 tensor \({name} of shape \("):
            convert(STATE | {name: STATE[name][..., :-1]})

    def test_all_problems_are_in_one_message(self, convert):
        state = {name: tensor for name, tensor in STATE.items() if name != "head.bias"}
        with pytest.raises(ValueError, match="missing: 1 .*unexpected: 1 .*mis-shaped: 1 "):
            convert(state | {"new": torch.zeros(1), "pos_start": torch.zeros(1, 4, 192)})

    def test_integers_for_weights_are_refused(self, convert):
        with pytest.raises(ValueError, match=r"feat_emb\.weight of torch\.int8"):
            convert(STATE | {"feat_emb.weight": torch.zeros(192, 64, dtype=torch.int8)})

    def test_vq_file_is_checked_as_well(self, convert, tmp_path):
        path = tmp_path / "vae.pth"
        torch.save({name: tensor for name, tensor in VQ_STATE.items() if name != "decoder.norm_out.bias"}, path)
        with pytest.raises(
            ValueError, match=r"`vq_path`.*vae\.pth with missing: 1 tensor \(decoder\.norm_out\.bias\)"
        ):
            convert(STATE, vq=path)

    def test_buffers_without_knowledge_may_be_missing(self, convert, plain_weights):
        optional = ("attn_bias_for_masking", "num_batches_tracked", "zero_k_bias_guide", "zero_k_bias_target")
        _assert_same(convert({k: v for k, v in STATE.items() if not k.endswith(optional)}), plain_weights)

    def test_tokenizer_of_another_ladder_is_accepted(self, convert, plain_weights, tmp_path):
        path = tmp_path / "vae.pth"
        torch.save(VQ_STATE | {"quantize.ema_vocab_hit_SV": torch.zeros(10, 128)}, path)
        _assert_same(convert(STATE, vq=path), plain_weights)

    def test_files_of_different_codebooks_are_refused_by_name(self, convert, tmp_path):
        path = tmp_path / "other_vae.pth"
        torch.save(VQ_STATE | {"quantize.embedding.weight": torch.zeros(64, 32)}, path)
        with pytest.raises(ValueError, match=r"content\.pth with codebook_size=128 and .*other_vae\.pth with .*=64"):
            convert(STATE, vq=path)

    def test_swapped_files_are_recognised(self, vq_path, model_path, tmp_path):
        with pytest.raises(ValueError, match="`model_path`.*looks like a VQ-VAE; it belongs to `vq_path`"):
            convert_original_checkpoint(model_path, vq_path, tmp_path / "out")

    def test_vanilla_var_is_recognised(self, convert):
        state = {name.replace("_guide", ""): tensor for name, tensor in STATE.items() if "_target" not in name}
        with pytest.raises(ValueError, match="looks like a vanilla VAR"):
            convert({name: tensor for name, tensor in state.items() if "_encoder." not in name})


class TestLadderAndAlphas:
    def test_ladder_is_read_from_lvl_1L(self, convert, tmp_path):
        levels = torch.tensor([0] + [1] * 4 + [2] * 25)[None]
        mask = torch.where(levels[0][:, None] >= levels, 0.0, float("-inf"))[None, None]
        state = STATE | {"lvl_1L": levels, "attn_bias_for_masking": mask}
        convert(state | {"lvl_embed.weight": torch.zeros(3, 192)}, blend_alphas=(0.1, 0.2, 0.3))
        assert StyleVARConfig.from_pretrained(tmp_path / "out").patch_nums == (1, 2, 5)

    @pytest.mark.parametrize(
        "levels", [torch.zeros(1, 30), torch.tensor([[0] * 26 + [1] * 4]), STATE["lvl_1L"].flip(1)]
    )
    def test_levels_that_are_no_ladder_are_refused(self, convert, levels):
        with pytest.raises(ValueError, match="lvl_1L|ladder"):
            convert(STATE | {"lvl_1L": levels.long()})

    def test_ladder_must_be_given_without_lvl_1L(self, convert, plain_weights):
        state = {name: tensor for name, tensor in STATE.items() if name != "lvl_1L"}
        with pytest.raises(ValueError, match=r"`patch_nums` must be the ladder of the 30 tokens"):
            convert(state)
        _assert_same(convert(state, patch_nums=LADDER), plain_weights)

    def test_ladder_against_lvl_1L_is_refused(self, convert):
        with pytest.raises(ValueError, match=r"`patch_nums` must be the ladder of"):
            convert(STATE, patch_nums=(1, 2, 5))

    def test_default_alphas_are_those_of_the_configuration(self, convert, tmp_path):
        convert(STATE, blend_alphas="default")
        assert StyleVARConfig.from_pretrained(tmp_path / "out").blend_alphas == pytest.approx((0.2, 0.4, 0.6, 0.8))

    @pytest.mark.parametrize("kind", [list, torch.tensor, functools.partial(np.array, dtype=np.float32)])
    def test_alphas_are_any_sequence_of_numbers(self, convert, tmp_path, kind):
        convert(STATE, blend_alphas=kind(ALPHAS))
        assert StyleVARConfig.from_pretrained(tmp_path / "out").blend_alphas == pytest.approx(ALPHAS)

    def test_released_schedule_needs_ten_scales(self, convert):
        with pytest.raises(ValueError, match=r"`blend_alphas` must have one value per scale \(4 "):
            convert(STATE, blend_alphas="released-sft")

    @pytest.mark.parametrize("alphas", ["sft", (0.1, 0.2), (0.1, 0.2, 0.3, 1.4)])
    def test_alphas_that_do_not_fit_are_refused(self, convert, alphas):
        with pytest.raises(ValueError, match="`blend_alphas` must"):
            convert(STATE, blend_alphas=alphas)


class TestPhiLayouts:
    @pytest.mark.parametrize(("name", "count"), [("qresi_ls.{}", 3), ("{}", 4), ("qresi", 1)])
    def test_every_published_layout_is_read(self, convert, tmp_path, name, count):
        state = {key: tensor for key, tensor in VQ_STATE.items() if "quant_resi" not in key}
        for phi in range(count):
            for kind in ("weight", "bias"):
                source = VQ_STATE[f"quantize.quant_resi.qresi_ls.{phi}.{kind}"]
                state[f"quantize.quant_resi.{name.format(phi)}.{kind}"] = source
        path = tmp_path / "vae.pth"
        torch.save(state, path)
        weights = convert(STATE, vq=path)
        assert StyleVARConfig.from_pretrained(tmp_path / "out").vq_config.num_shared_phi == count
        last = weights[f"vq_model.quantizer.phis.{count - 1}.conv.weight"]
        assert torch.equal(last, VQ_STATE[f"quantize.quant_resi.qresi_ls.{count - 1}.weight"])


class TestOfficialKeys:
    def test_tables_make_exactly_the_released_names_and_shapes(self):
        with torch.device("meta"):
            model = StyleVARForConditionalGeneration(StyleVARConfig())
        shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
        from_vq = {name: shapes.pop(name) for name in list(shapes) if name.startswith("vq_model.")}
        vq_renames = (*VQ_RENAMES, PHI_RENAMES["partially shared"])
        vq_layout = published_layout(model.config, from_vq, vq_renames, VQ_UNUSED)
        layout = published_layout(model.config, shapes, STYLEVAR_RENAMES, STYLEVAR_UNUSED)
        for file, found in (("official_vae.json", vq_layout), ("official_stylevar_d20.json", layout)):
            official = json.loads((FIXTURES / file).read_text())
            assert found.keys() == official.keys()
            checked = {name: list(entry.shape) for name, entry in found.items() if entry.shape is not None}
            assert checked == {name: shape for name, (shape, _) in official.items() if name in checked}
            assert found.keys() - checked.keys() <= {"quantize.ema_vocab_hit_SV"}

    def test_weight_outside_the_table_is_an_error(self):
        with pytest.raises(KeyError, match=r"model\.new\.weight"):
            published_layout(StyleVARConfig(), {"model.new.weight": torch.Size([1])}, STYLEVAR_RENAMES, ())


class TestWayBack:
    @pytest.fixture
    def written(self, converted, tmp_path):
        paths = convert_to_original(converted, tmp_path / "vae.pth", tmp_path / "sub" / "stylevar.pth")
        return [torch.load(path, weights_only=True) for path in paths]

    def test_files_have_the_published_names_shapes_and_dtypes(self, written):
        for state, original in zip(written, (VQ_STATE, STATE), strict=True):
            assert {k: (v.shape, v.dtype) for k, v in state.items()} == {
                k: (v.shape, v.dtype) for k, v in original.items()
            }

    def test_every_tensor_that_matters_comes_back(self, written):
        for state, original in zip(written, (VQ_STATE, STATE), strict=True):
            for name in original:
                if name.endswith("mat_qkv_guide.weight"):
                    assert torch.equal(state[name][:192], original[name][:192])
                elif name.endswith("mat_qkv_target.weight"):
                    assert torch.equal(state[name][192:], original[name][192:])
                elif not name.endswith(UNUSED):
                    assert torch.equal(state[name], original[name]), name

    def test_second_conversion_gives_the_same_weights(self, written, plain_weights, convert):
        _assert_same(convert(written[1]), plain_weights)

    def test_half_precision_folder_gives_float32_files(self, vq_path, model_path, tmp_path):
        folder = convert_original_checkpoint(
            vq_path, model_path, tmp_path / "out", blend_alphas=ALPHAS, dtype="bfloat16", max_shard_size="8MB"
        )
        _, path = convert_to_original(folder, tmp_path / "vae.pth", tmp_path / "stylevar.pth")
        state = torch.load(path, weights_only=True)
        assert state["word_embed.weight"].dtype == torch.float32
        assert torch.equal(state["word_embed.weight"], STATE["word_embed.weight"].bfloat16().float())

    def test_existing_file_is_kept_unless_overwritten(self, converted, tmp_path):
        (tmp_path / "vae.pth").write_text("mine")
        with pytest.raises(ValueError, match="`vq_path` must be a new file"):
            convert_to_original(converted, tmp_path / "vae.pth", tmp_path / "model.pth")
        assert [path.name for path in tmp_path.iterdir()] == ["vae.pth"]
        convert_to_original(converted, tmp_path / "vae.pth", tmp_path / "model.pth", overwrite=True, progress=True)
        assert torch.load(tmp_path / "vae.pth", weights_only=True).keys() == VQ_STATE.keys()

    def test_one_path_for_both_is_refused(self, converted, tmp_path):
        with pytest.raises(ValueError, match="`model_path` must be another file"):
            convert_to_original(converted, tmp_path / "a.pth", tmp_path / "a.pth")

    def test_folder_without_model_is_refused(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="`model_dir` must be a folder with"):
            convert_to_original(tmp_path, tmp_path / "a.pth", tmp_path / "b.pth")

    def test_folder_with_missing_weights_is_refused(self, converted, plain_weights, tmp_path):
        (tmp_path / "config.json").write_text((converted / "config.json").read_text())
        kept = {name: tensor for name, tensor in plain_weights.items() if name != "lm_head.bias"}
        save_file(kept, tmp_path / "model.safetensors")
        with pytest.raises(ValueError, match=r"`model_dir` .*missing: 1 tensor \(lm_head\.bias\)"):
            convert_to_original(tmp_path, tmp_path / "a.pth", tmp_path / "b.pth")
        assert not list(tmp_path.glob("*.pth"))

    def test_config_of_wrong_types_is_refused(self, converted, tmp_path):
        config = json.loads((converted / "config.json").read_text())
        (tmp_path / "config.json").write_text(json.dumps({**config, "hidden_size": "wide"}))
        with pytest.raises(ValueError, match=r"(?s)`model_dir` must be .*hidden_size"):
            convert_to_original(tmp_path, tmp_path / "a.pth", tmp_path / "b.pth")

    @pytest.mark.parametrize("index", ["{}", "[]", "no JSON", '{"weight_map": []}', '{"weight_map": {"a": 1}}'])
    def test_damaged_index_is_refused(self, converted, tmp_path, index):
        (tmp_path / "config.json").write_text((converted / "config.json").read_text())
        (tmp_path / "model.safetensors.index.json").write_text(index)
        with pytest.raises(ValueError, match=r"`model_dir` must be .*model\.safetensors\.index\.json"):
            convert_to_original(tmp_path, tmp_path / "a.pth", tmp_path / "b.pth")

    def test_failure_leaves_no_file(self, converted, tmp_path, monkeypatch):
        def fail(state, path):
            if len(list(tmp_path.iterdir())) > 1:
                raise OSError("No space left on device")
            Path(path).write_bytes(b"half")

        monkeypatch.setattr(conversion_io.torch, "save", fail)
        with pytest.raises(OSError, match="No space"):
            convert_to_original(converted, tmp_path / "a.pth", tmp_path / "b.pth")
        assert not list(tmp_path.iterdir())


class TestBadFiles:
    def test_missing_file(self, vq_path, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"`model_path` must be an existing file, but got .*none\.pth"):
            convert_original_checkpoint(vq_path, tmp_path / "none.pth", tmp_path / "out")

    def test_folder_for_a_file(self, vq_path, tmp_path):
        with pytest.raises(ValueError, match="`model_path` must be a file, but got the folder"):
            convert_original_checkpoint(vq_path, tmp_path, tmp_path / "out")

    @pytest.mark.parametrize("kind", ["truncated", "truncated old", "text", "empty", "garbage", "safetensors"])
    def test_unreadable_file(self, vq_path, model_path, tmp_path, kind):
        path = tmp_path / ("bad.safetensors" if kind == "safetensors" else "bad.pth")
        content = {"text": b"version https://git-lfs.github.com/spec/v1\n", "empty": b"", "garbage": bytes(range(256))}
        path.write_bytes(content.get(kind, model_path.read_bytes()[:100_000]))
        if kind == "truncated old":
            torch.save({"model": STATE}, path, _use_new_zipfile_serialization=False)
            path.write_bytes(path.read_bytes()[:-1000])
        with pytest.raises(ValueError, match=r"`model_path` must be a PyTorch checkpoint, but got .*bad\."):
            convert_original_checkpoint(vq_path, path, tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_pickled_code_is_refused_and_not_run(self, convert, tmp_path):
        class Attack:
            def __reduce__(self):
                return Path.touch, (tmp_path / "touched",)

        with pytest.raises(ValueError, match="must hold tensors and plain values only.*could run code"):
            convert({"model": STATE, "args": Attack()})
        assert not (tmp_path / "touched").exists()

    def test_plain_pickle_is_refused(self, vq_path, tmp_path):
        (tmp_path / "plain.pth").write_bytes(pickle.dumps([1, 2, 3], protocol=2))
        with pytest.raises(ValueError, match="`model_path` must"):
            convert_original_checkpoint(vq_path, tmp_path / "plain.pth", tmp_path / "out")

    @pytest.mark.parametrize("content", [{"epoch": 3, "net": {"a": 1}}, torch.zeros(3), {}])
    def test_file_without_a_state_dict(self, convert, content):
        with pytest.raises(ValueError, match="must hold a state dict, by itself or under one of trainer.var_wo_ddp"):
            convert(content)

    def test_other_values_among_the_tensors(self, convert):
        with pytest.raises(ValueError, match="state dict of tensors, but got .* with epoch in it"):
            convert(STATE | {"epoch": 3})

    def test_unknown_dtype(self, convert):
        with pytest.raises(ValueError, match="`dtype` must be None or one of"):
            convert(STATE, dtype="int8")


class TestOutputFolder:
    def test_failure_while_writing_leaves_nothing(self, vq_path, model_path, tmp_path, monkeypatch):
        def fail(*args, **kwargs):
            raise OSError("No space left on device")

        monkeypatch.setattr(conversion_io, "_write_safetensors", fail)
        with pytest.raises(OSError, match="No space"):
            convert_original_checkpoint(vq_path, model_path, tmp_path / "out", blend_alphas=ALPHAS)
        assert not list(tmp_path.iterdir())

    def test_failure_while_overwriting_keeps_the_old_model(self, vq_path, model_path, tmp_path, monkeypatch):
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "config.json").write_text('{"model_type": "stylevar"}')
        rename = Path.rename

        def fail_once_written(self, target):
            if (self / "model.safetensors").exists():
                raise OSError("Permission denied")
            return rename(self, target)

        monkeypatch.setattr(Path, "rename", fail_once_written)
        with pytest.raises(OSError, match="Permission"):
            convert_original_checkpoint(vq_path, model_path, tmp_path / "out", blend_alphas=ALPHAS, overwrite=True)
        assert [path.name for path in tmp_path.iterdir()] == ["out"]
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["config.json"]

    def test_overwrite_replaces_the_whole_model(self, convert, tmp_path):
        convert(STATE)
        (tmp_path / "out" / "model.safetensors.index.json").write_text("{}")
        with pytest.raises(ValueError, match="`output_dir` must be a new or empty folder"):
            convert(STATE)
        convert(STATE, overwrite=True)
        assert not (tmp_path / "out" / "model.safetensors.index.json").exists()
        assert sorted(path.name for path in tmp_path.iterdir()) == ["content.pth", "out"]

    def test_empty_folder_is_used(self, convert, tmp_path):
        (tmp_path / "out").mkdir()
        assert convert(STATE)

    def test_overwrite_refuses_a_folder_that_is_no_model(self, convert, tmp_path):
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "thesis.tex").write_text("years of work")
        with pytest.raises(ValueError, match="`output_dir` must be a folder with a `config.json`"):
            convert(STATE, overwrite=True)
        assert (tmp_path / "out" / "thesis.tex").exists()

    def test_overwrite_refuses_a_folder_with_the_sources(self, model_path, tmp_path):
        (tmp_path / "config.json").write_text('{"model_type": "stylevar"}')
        torch.save(VQ_STATE, tmp_path / "vae.pth")
        with pytest.raises(ValueError, match=r"`output_dir` must be a folder without vae\.pth"):
            convert_original_checkpoint(tmp_path / "vae.pth", model_path, tmp_path, overwrite=True)
        assert (tmp_path / "vae.pth").exists()

    def test_file_in_the_way_is_refused(self, convert, tmp_path):
        (tmp_path / "out").write_text("mine")
        with pytest.raises(ValueError, match="`output_dir` must be a folder"):
            convert(STATE, overwrite=True)


def _torchvision_resnet(state: dict[str, torch.Tensor] = STATE) -> dict[str, torch.Tensor]:
    """The style trunk in torchvision's names, beside a classifier."""
    renames = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4"}
    resnet = {}
    for name, tensor in state.items():
        if name.startswith("style_encoder."):
            child, _, rest = name.removeprefix("style_encoder.").partition(".")
            resnet[f"{renames[child]}.{rest}"] = tensor
    width = len(resnet["layer4.0.bn2.weight"])
    return resnet | {"fc.weight": torch.zeros(1000, width), "fc.bias": torch.zeros(1000)}


VAR_STATE = {
    name.replace("_guide", ""): tensor
    for name, tensor in STATE.items()
    if "_target" not in name and "_encoder." not in name and not name.startswith("feat_emb")
} | {"class_emb.weight": torch.zeros(1001, 192)}


@pytest.fixture(scope="module")
def var_paths(vq_path, tmp_path_factory):
    folder = tmp_path_factory.mktemp("var")
    torch.save(VAR_STATE, folder / "var_d3.pth")
    torch.save(_torchvision_resnet(), folder / "resnet18.pth")
    return vq_path, folder / "var_d3.pth", folder / "resnet18.pth"


@pytest.fixture(scope="module")
def start(var_paths):
    return convert_var_checkpoint(*var_paths, var_paths[1].with_name("start"), blend_alphas=ALPHAS)


class TestVanillaVAR:
    def test_one_self_attention_serves_both_projections(self, start):
        model, info = StyleVARForConditionalGeneration.from_pretrained(start, output_loading_info=True)
        assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
        attention = model.model.layers[1].attention
        fused = torch.cat([attention.q_proj.weight, attention.k_proj.weight, attention.v_proj.weight])
        assert torch.equal(fused, VAR_STATE["blocks.1.attn.mat_qkv.weight"])
        assert torch.equal(attention.q_proj.bias, VAR_STATE["blocks.1.attn.q_bias"])
        assert torch.equal(attention.v_proj.bias, VAR_STATE["blocks.1.attn.v_bias"])
        assert torch.equal(model.lm_head.weight, VAR_STATE["head.weight"])

    def test_imagenet_weights_survive_loading(self, var_paths, tmp_path):
        torchvision = pytest.importorskip("torchvision")
        resnet = torchvision.models.resnet18(weights=None).eval()
        resnet.load_state_dict(_torchvision_resnet(FULL_STATE))
        torch.save(resnet.state_dict(), tmp_path / "resnet18.pth")
        start = convert_var_checkpoint(*var_paths[:2], tmp_path / "resnet18.pth", tmp_path / "start", ALPHAS)
        trunk = torch.nn.Sequential(*list(resnet.children())[:-1])
        model = StyleVARForConditionalGeneration.from_pretrained(start).eval()
        pixel_values = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            expected = trunk(pixel_values)
            for encoder in (model.model.style_encoder, model.model.content_encoder):
                assert isinstance(encoder, ResNetModel)
                torch.testing.assert_close(encoder(pixel_values).pooler_output, expected, rtol=0, atol=0)

    def test_image_projection_is_new_and_seeded(self, start, var_paths, tmp_path):
        again = convert_var_checkpoint(*var_paths, tmp_path / "again", blend_alphas=ALPHAS, seed=0)
        other = convert_var_checkpoint(*var_paths, tmp_path / "other", blend_alphas=ALPHAS, seed=1)
        first, second, third = (load_file(folder / "model.safetensors") for folder in (start, again, other))
        _assert_same(first, second)
        name = "model.image_projection.weight"
        assert {key for key in first if not torch.equal(first[key], third[key])} == {name}
        assert first[name].std() == pytest.approx((3 * 192) ** -0.5, rel=0.05)

    def test_old_and_safetensors_resnet_files(self, start, var_paths, tmp_path):
        vq_path, var_path, _ = var_paths
        state = {name: t for name, t in _torchvision_resnet().items() if not name.endswith("num_batches_tracked")}
        torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
        save_file({name: t for name, t in state.items() if not name.startswith("fc.")}, tmp_path / "new.safetensors")
        expected = load_file(start / "model.safetensors")
        for file in ("old.pth", "new.safetensors"):
            folder = convert_var_checkpoint(vq_path, var_path, tmp_path / file, tmp_path / f"{file}-out", ALPHAS)
            _assert_same(load_file(folder / "model.safetensors"), expected)

    def test_resnet_with_missing_and_unexpected_weights(self, var_paths, tmp_path):
        state = _torchvision_resnet()
        state["layer1.0.conv3.weight"] = state.pop("layer4.1.bn2.bias")
        torch.save(state, tmp_path / "resnet.pth")
        with pytest.raises(
            ValueError, match=r"`resnet_path` .*missing: 1 .*bn2\.bias\); unexpected: 1 .*conv3\.weight"
        ):
            convert_var_checkpoint(*var_paths[:2], tmp_path / "resnet.pth", tmp_path / "out", ALPHAS)

    def test_stylevar_file_is_recognised(self, var_paths, model_path, tmp_path):
        with pytest.raises(ValueError, match="`var_path` .*looks like a StyleVAR transformer"):
            convert_var_checkpoint(var_paths[0], model_path, var_paths[2], tmp_path / "out", ALPHAS)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="reads the memory map of Linux")
class TestMemory:
    def test_weights_stay_on_disk_until_written(self, vq_path, model_path, tmp_path, monkeypatch):
        read, on_disk = conversion_io.OriginalCheckpoint.read, []

        @functools.cache
        def mapped(path):
            lines = [line.split() for line in Path("/proc/self/maps").read_text().splitlines()]
            return [[int(end, 16) for end in line[0].split("-")] for line in lines if line[-1] == str(path)]

        def find_source(self, name):
            tensor = read(self, name)
            on_disk.append(any(start <= tensor.data_ptr() < end for start, end in mapped(self.path)))
            return tensor

        monkeypatch.setattr(conversion_io.OriginalCheckpoint, "read", find_source)
        convert_original_checkpoint(vq_path, model_path, tmp_path / "out", blend_alphas=ALPHAS)
        assert len(on_disk) > 600 and all(on_disk)


class TestWhatTheOtherFormatCannotHold:
    def test_sizes_travel_beside_the_weights(self, tmp_path):
        files = tmp_path / "vq.pth", tmp_path / "model.pth"
        convert_to_original(bundled_checkpoint(), *files)
        ours = StyleVARConfig.from_pretrained(bundled_checkpoint())
        back = convert_original_checkpoint(*files, tmp_path / "back", blend_alphas=ours.blend_alphas)
        theirs = StyleVARConfig.from_pretrained(back)
        assert theirs.vq_config.norm_num_groups == ours.vq_config.norm_num_groups != 32

    def test_nan_is_refused_by_name(self, vq_path, tmp_path):
        state = dict(FULL_STATE)
        state["word_embed.weight"] = state["word_embed.weight"].clone()
        state["word_embed.weight"][0, 0] = float("nan")
        torch.save(state, tmp_path / "model.pth")
        with pytest.raises(ValueError, match="`model_path` must hold finite weights.*infinity in word_embed.weight"):
            convert_original_checkpoint(vq_path, tmp_path / "model.pth", tmp_path / "out", blend_alphas=ALPHAS)
        assert not (tmp_path / "out").exists()

    def test_overwriting_keeps_what_others_put_there(self, vq_path, model_path, tmp_path):
        out = convert_original_checkpoint(vq_path, model_path, tmp_path / "out", blend_alphas=ALPHAS)
        (out / "notes.txt").write_text("mine")
        convert_original_checkpoint(vq_path, model_path, out, blend_alphas=ALPHAS, overwrite=True)
        assert (out / "notes.txt").read_text() == "mine" and (out / "model.safetensors").is_file()

    def test_another_model_is_not_overwritten(self, vq_path, model_path, tmp_path):
        (tmp_path / "config.json").write_text('{"model_type": "bert"}')
        with pytest.raises(ValueError, match="Its model is a bert"):
            convert_original_checkpoint(vq_path, model_path, tmp_path, blend_alphas=ALPHAS, overwrite=True)

    def test_full_disk_is_said_by_name(self, tmp_path, monkeypatch):
        def fail(*_):
            raise RuntimeError("[enforce fail at inline_container.cc:671] . unexpected pos 924032 vs 923984")

        monkeypatch.setattr(torch, "save", fail)
        with pytest.raises(OSError, match="must have room on its disk"):
            convert_to_original(bundled_checkpoint(), tmp_path / "vq.pth", tmp_path / "model.pth")
        assert not list(tmp_path.iterdir())
