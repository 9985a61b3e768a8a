# Copyright 2026 The stylevar-hf authors.
# SPDX-License-Identifier: Apache-2.0

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from stylevar_hf import StyleVARVQConfig, StyleVARVQModel


def make_vq_model(seed: int = 0, **fields) -> StyleVARVQModel:
    """8x8 latents at most, 0.05 M parameters."""
    defaults = {
        "patch_nums": (1, 2, 3, 4),
        "codebook_size": 32,
        "latent_channels": 6,
        "base_channels": 8,
        "channel_multipliers": (1, 2, 2),
        "num_res_blocks": 1,
        "norm_num_groups": 4,
    }
    torch.manual_seed(seed)
    return StyleVARVQModel(StyleVARVQConfig(**{**defaults, **fields})).eval()


def make_images(model: StyleVARVQModel, batch_size: int = 2, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    side = model.config.image_size
    return torch.rand(batch_size, 3, side, side, generator=generator) * 2 - 1


class TestCodes:
    @torch.no_grad()
    @pytest.mark.parametrize("patch_nums", [(1, 2, 3, 4), (1, 4), (2, 3, 5), (4,), (1, 2, 3, 4, 5, 6, 7, 8)])
    @pytest.mark.parametrize("num_shared_phi", [1, 2, 4, 9])
    def test_any_ladder_and_number_of_phi(self, patch_nums, num_shared_phi):
        model = make_vq_model(patch_nums=patch_nums, num_shared_phi=num_shared_phi)
        images = make_images(model)
        encoded = model.encode(images)
        length, channels = model.config.sequence_length, model.config.latent_channels
        assert encoded.codes.shape == (2, length)
        assert encoded.features.shape == (2, length, channels)
        assert model.next_scale_features(encoded.codes).shape == (2, length - patch_nums[0] ** 2, channels)
        assert model.decode(encoded.codes).shape == images.shape
        torch.testing.assert_close(model.decode(encoded.codes), model.reconstruct(images))

    def test_pixel_patches_replace_a_resolution(self):
        config = StyleVARVQConfig(
            patch_nums=(1, 2),
            base_channels=8,
            channel_multipliers=(1, 2),
            num_res_blocks=1,
            norm_num_groups=4,
            latent_channels=4,
            codebook_size=16,
            pixel_patch_size=4,
        )
        assert (config.downsampling, config.image_size) == (8, 16)
        model = StyleVARVQModel(config).eval()
        images = torch.rand(2, 3, 16, 16) * 2 - 1
        assert model(images).reconstruction.shape == images.shape
        # one patch of pixels becomes one position: channel c, row y and column x at c * 16 + y * 4 + x
        patches = model.encoder.to_patches(images)
        assert patches.shape == (2, 48, 4, 4)
        assert patches[1, 2 * 16 + 3 * 4 + 1, 2, 0] == images[1, 2, 2 * 4 + 3, 1]
        torch.testing.assert_close(model.decoder.to_pixels(patches), images)

    def test_nearest_code_is_the_nearest(self):
        quantizer = make_vq_model().quantizer
        vectors = torch.randn(50, 6)
        expected = torch.cdist(vectors.double(), quantizer.codebook.weight.double()).argmin(dim=1)
        assert torch.equal(quantizer.nearest_codes(vectors), expected)

    @torch.no_grad()
    def test_residual_quantisation_against_a_plain_loop(self):
        # arXiv 2404.02905, Alg. 1, written out for one image with numpy's nearest neighbour
        model = make_vq_model(num_shared_phi=2)
        latents = torch.randn(1, 6, 4, 4)
        codes, cumulative = model.quantizer(latents)
        codebook, start = model.quantizer.codebook.weight, 0
        rest, f_hat = latents.clone(), torch.zeros_like(latents)
        for scale, side in enumerate(model.config.patch_nums):
            pooled = F.adaptive_avg_pool2d(rest, side)[0].flatten(1).T.numpy()
            nearest = ((pooled[:, None] - codebook.numpy()[None]) ** 2).sum(-1).argmin(1)
            assert np.array_equal(codes[0, start : start + side**2].numpy(), nearest)
            start += side**2
            looked_up = codebook[torch.from_numpy(nearest)].T.reshape(1, 6, side, side)
            phi = model.quantizer.phis[model.config.phi_indices[scale]].conv
            h = F.interpolate(looked_up, (4, 4), mode="bicubic")
            h = 0.5 * h + 0.5 * phi(h)
            rest, f_hat = rest - h, f_hat + h
            torch.testing.assert_close(cumulative[scale], f_hat)

    @torch.no_grad()
    def test_residual_ratio_zero_makes_phi_the_identity(self):
        quantizer = make_vq_model(residual_ratio=0.0).quantizer
        codes = torch.arange(16)[None]
        torch.testing.assert_close(quantizer.lift(codes, 3), quantizer.codebook(codes).mT.reshape(1, 6, 4, 4))

    @torch.no_grad()
    def test_one_image_does_not_depend_on_its_batch(self):
        model = make_vq_model()
        images = make_images(model, batch_size=3)
        assert torch.equal(model.encode(images).codes[1:2], model.encode(images[1:2]).codes)


class TestTrainingForward:
    def test_loss_is_the_sum_of_its_documented_terms(self):
        model = make_vq_model()
        images = make_images(model)
        output = model(images)
        latents = model.get_latents(images)
        _, cumulative = model.quantizer(latents)
        gap = torch.stack([(f_hat - latents).square().mean() for f_hat in cumulative]).mean()
        reconstruction = (output.reconstruction - images).square().mean()
        torch.testing.assert_close(output.commitment_loss, gap)
        torch.testing.assert_close(output.codebook_loss, gap)
        torch.testing.assert_close(output.loss, reconstruction + 1.25 * gap)

    def test_straight_through_sends_the_decoders_gradient_to_the_encoder_only(self):
        model = make_vq_model()
        model(make_images(model)).reconstruction_loss.backward()
        assert model.encoder.conv_in.weight.grad.abs().sum() > 0
        assert model.quantizer.codebook.weight.grad is None

    def test_codebook_and_commitment_losses_move_opposite_ends(self):
        model = make_vq_model()
        model(make_images(model)).codebook_loss.backward()
        assert model.quantizer.codebook.weight.grad.abs().sum() > 0
        assert model.quantizer.phis[0].conv.weight.grad.abs().sum() > 0
        assert model.encoder.conv_in.weight.grad is None
        model.zero_grad()
        model(make_images(model)).commitment_loss.backward()
        assert model.encoder.conv_in.weight.grad.abs().sum() > 0
        assert model.quantizer.codebook.weight.grad is None

    def test_training_reduces_the_loss(self):
        model = make_vq_model().train()
        images = make_images(model, batch_size=4)
        optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
        losses = []
        for _ in range(30):
            loss = model(images).loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert losses[-1] < 0.7 * losses[0]

    def test_codebook_usage_counts_distinct_codes(self):
        model = make_vq_model()
        output = model(make_images(model, batch_size=3))
        expected = [output.codes[:, start:end].unique().numel() / 32 for start, end in model.config.scale_boundaries]
        assert output.codebook_usage.tolist() == pytest.approx(expected)

    def test_gradient_checkpointing_keeps_the_gradients(self):
        model = make_vq_model().train()
        images = make_images(model)
        model(images).loss.backward()
        expected = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
        model.zero_grad()
        model.gradient_checkpointing_enable({"use_reentrant": False})
        model(images).loss.backward()
        for name, parameter in model.named_parameters():
            torch.testing.assert_close(parameter.grad, expected[name], msg=name)


class TestInitialisation:
    def test_residual_branches_are_silent_at_first(self):
        model = make_vq_model()
        block, attention = model.encoder.down_blocks[0].resnets[0], model.encoder.mid_block.attention
        for module in (block, attention):
            channels = module.norm1.num_channels if module is block else module.norm.num_channels
            hidden_states = torch.randn(2, channels, 4, 4)
            output = module(hidden_states.clone())
            assert torch.equal(output if module is block else output[0], hidden_states)

    def test_phi_and_the_convolutions_around_the_codes_are_the_identity_at_first(self):
        model = make_vq_model()
        latents = torch.randn(2, model.config.latent_channels, 4, 4)
        for module in (*model.quantizer.phis, model.quant_conv, model.post_quant_conv):
            torch.testing.assert_close(module(latents), latents)

    def test_every_weight_gets_a_gradient(self):
        model = make_vq_model()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(2):  # branches that start silent hear of their inner weights at the second step
            optimizer.zero_grad()
            model(make_images(model)).loss.backward()
            optimizer.step()
        silent = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
        # Keys are compared with all queries alike: their common shift does not matter.
        assert [name for name in silent if "phis" not in name] == []


class TestDecodingInParts:
    @torch.no_grad()
    @pytest.mark.parametrize("floats, sizes", [(1, [1] * 5), (2 * 8 * 16**2, [2, 2, 1]), (2**30, [5])])
    def test_images_do_not_depend_on_how_many_are_decoded_at_once(self, floats, sizes, monkeypatch):
        model = make_vq_model()
        latents = torch.randn(5, 6, 4, 4, generator=torch.Generator().manual_seed(0))
        expected = torch.cat([model._decode_part(latent) for latent in latents.split(1)])
        seen = []
        model.decoder.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
        monkeypatch.setattr("stylevar_hf.modeling_stylevar_vq._CPU_FEATURE_FLOATS", floats)
        torch.testing.assert_close(model.decode_latents(latents), expected)
        assert seen == sizes


class TestDtypes:
    @torch.no_grad()
    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_half_precision_keeps_the_codebook_search_in_float32(self, dtype, tmp_path):
        make_vq_model().save_pretrained(tmp_path)
        model = StyleVARVQModel.from_pretrained(tmp_path, dtype=dtype)
        assert model.encoder.conv_in.weight.dtype == dtype
        assert {parameter.dtype for parameter in model.quantizer.parameters()} == {torch.float32}
        encoded = model.encode(make_images(model).to(dtype))
        assert encoded.latents.dtype == torch.float32
        decoded = model.decode(encoded.codes)
        assert decoded.dtype == torch.float32
        assert decoded.isfinite().all()

    @torch.no_grad()
    def test_cast_of_everything_still_runs(self):
        model = make_vq_model().to(torch.bfloat16)
        assert model.reconstruct(make_images(model)).isfinite().all()

    @torch.no_grad()
    def test_autocast_does_not_reach_the_quantiser(self):
        # the published code crashes here: mixed dtypes in the distances
        model = make_vq_model()
        latents = torch.randn(2, 6, 4, 4)
        expected, _ = model.quantizer(latents)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            codes, cumulative = model.quantizer(latents)
            model.reconstruct(make_images(model))
        assert torch.equal(codes, expected)
        assert cumulative[-1].dtype == torch.float32

    @torch.no_grad()
    def test_eager_and_sdpa_attention_agree(self):
        model = make_vq_model()
        images = make_images(model)
        model.set_attn_implementation("eager")
        expected = model.get_latents(images)
        model.set_attn_implementation("sdpa")
        torch.testing.assert_close(model.get_latents(images), expected, rtol=0, atol=1e-5)


class TestBadInput:
    @pytest.mark.parametrize(
        "images, message",
        [
            (torch.zeros(1, 3, 16, 17), r"`pixel_values` must be of shape \(batch, 3, 16, 16\)"),
            (torch.zeros(3, 16, 16), r"`pixel_values` must be of shape"),
            (torch.zeros(0, 3, 16, 16), "`pixel_values` must hold at least one image"),
            (torch.zeros(1, 1, 16, 16), r"`pixel_values` must be of shape"),
            (torch.zeros(1, 3, 16, 16, dtype=torch.uint8), "must be a floating-point tensor .* got torch.uint8"),
            (np.zeros((1, 3, 16, 16), dtype=np.float32), "must be a floating-point tensor .* got ndarray"),
        ],
    )
    def test_pixels_that_do_not_fit(self, images, message):
        with pytest.raises(ValueError, match=message):
            make_vq_model().encode(images)

    @pytest.mark.parametrize(
        "codes, message",
        [
            (torch.zeros(1, 29, dtype=torch.long), r"`codes` must be an int64 tensor of shape \(batch, 30\)"),
            (torch.zeros(1, 30), "`codes` must be an int64 tensor"),
            (torch.zeros(0, 30, dtype=torch.long), "`codes` must be an int64 tensor"),
            (np.zeros((1, 30), dtype=np.int64), "`codes` must be an int64 tensor .* but got ndarray"),
        ],
    )
    def test_codes_that_do_not_fit(self, codes, message):
        with pytest.raises(ValueError, match=message):
            make_vq_model().decode(codes)
