"""`FastDecoder`: what the SAM mask decoder computes, with what depends on the image alone done once.

Reads the weights of a prompt encoder and a mask decoder by the attribute names that
segment_anything, sam2 and sam3 share, and gives the same masks with fewer operations:

- The first layer's keys, values and queries of the image do not depend on the prompt.
- A projection of all image tokens that only meets a few prompt tokens is applied to those few:
  ``(X W) q = X (W q)``.
- Constants over the keys of an attention are left out, since softmax cancels them.
- The last attention is computed for the asked output tokens alone, and only the asked masks are
  made.
- Transposed convolutions whose kernel equals their stride are matrix products; pixels are put
  into order in the masks alone, and rows of pixels are handled in pieces that fit a CPU's cache.

Must not know prompts as the user gives them, files or encoders.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

PADDING, NEGATIVE, POSITIVE, TOP_LEFT, BOTTOM_RIGHT = -1, 0, 1, 2, 3
"""Labels of prompt points, as the packages number them."""

_PIECE = 512
"""Image tokens that are upscaled at a time on the CPU: 16 x 32 floats each, 1 MB in all."""


@dataclass(frozen=True, slots=True, eq=False)
class ImageTerms:
    """What the decoder knows about one image; float32, on the decoder's device.

    P image tokens (row by row) of C channels, H heads of d channels.

    Attributes
    ----------
    tokens : Tensor, (P, C)
        The image embedding with the term that stands for "no mask".
    keys : Tensor, (H, d, P)
        First layer, prompt to image; scaled by 1 / sqrt(d), without bias.
    values : Tensor, (H, P, d)
        First layer, prompt to image.
    queries : Tensor, (H, d, P)
        First layer, image to prompt; scaled by 1 / sqrt(d).
    high_res : pair of Tensor or None
        The finer features in the order in which pixels are made, with the biases of the
        transposed convolutions: (P, 4 * C / 4) and (P, 16 * C / 8).
    """

    tokens: Tensor
    keys: Tensor
    values: Tensor
    queries: Tensor
    high_res: tuple[Tensor, Tensor] | None = None

    @property
    def nbytes(self) -> int:
        tensors = (self.tokens, self.keys, self.values, self.queries, *(self.high_res or ()))
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """The answers to b prompts, on the decoder's device.

    Attributes
    ----------
    logits : Tensor, (b, m, 4 h, 4 w) float32
        m is 1, or the number of proposals (3).
    scores : Tensor, (b, m) float32
        Predicted intersection over union as the model gives it, not clipped.
    object_logits : Tensor, (b,) float32, or None
        Larger than 0 where the model sees an object at all; None where it does not tell.
    """

    logits: Tensor
    scores: Tensor
    object_logits: Tensor | None = None


class FastDecoder:
    """A prompt encoder and a mask decoder, ready for many prompts on one image.

    Keeps the modules' weights, not the modules' state: calls do not influence each other.

    Parameters
    ----------
    prompt_encoder : Module
        `PromptEncoder` of segment_anything, sam2 or sam3, float32, on its device.
    mask_decoder : Module
        The `MaskDecoder` that belongs to it.
    """

    def __init__(self, prompt_encoder: Any, mask_decoder: Any) -> None:
        with torch.inference_mode():
            self._read_prompt_encoder(prompt_encoder)
            self._read_transformer(mask_decoder.transformer)
            self._read_outputs(mask_decoder)

    @property
    def device(self) -> torch.device:
        return self._frequencies.device

    @property
    def proposals(self) -> int:
        """How many masks an ambiguous prompt is answered with."""
        return self._mask_count - 1

    @property
    def logits_size(self) -> tuple[int, int]:
        """Height and width of the answers."""
        return 4 * self.grid[0], 4 * self.grid[1]

    def bytes_per_prompt(self, points: int) -> int:
        """About how much memory a prompt of so many points takes while it is answered on a GPU."""
        places, width = self._positions.shape
        attended = self._layers[0].to_image.heads * (points + len(self._output_tokens))
        return 4 * places * (6 * width + 3 * attended + 3 * 16 * (width // 8) + 2 * 16 * self._mask_count)

    def image(self, embedding: Tensor, high_res: Sequence[Tensor] = ()) -> ImageTerms:
        """Compute what all prompts on one image share.

        Parameters
        ----------
        embedding : Tensor, (1, C, h, w)
            As the encoder gives it; any float type.
        high_res : sequence of Tensor, optional
            ``[feat_s0, feat_s1]``, (1, C / 8, 4 h, 4 w) and (1, C / 4, 2 h, 2 w), as the
            decoders with `use_high_res_features` take them.
        """
        with torch.inference_mode():
            tokens = embedding[0].float().flatten(1).t() + self._no_mask
            return self._terms(tokens, self._in_order(high_res) if len(high_res) else None)

    def embedding(self, image: ImageTerms) -> Tensor:
        """The image embedding (1, C, h, w) float32 from which `image` was made."""
        with torch.inference_mode():
            return (image.tokens - self._no_mask).t().reshape(1, -1, *self.grid)

    def with_mask(self, image: ImageTerms, mask: Tensor) -> ImageTerms:
        """The terms of the same image for prompts that come with a prior mask.

        Parameters
        ----------
        image : ImageTerms
        mask : Tensor, (1, 1, *mask_size)
            Logits.
        """
        with torch.inference_mode():
            dense = self._embed_mask(mask.to(self.device, torch.float32))
            tokens = image.tokens - self._no_mask + dense[0].flatten(1).t()
            return self._terms(tokens, image.high_res)

    def decode(self, image: ImageTerms, points: Tensor, labels: Tensor, multimask: bool) -> Decoded:
        """Answer b prompts of n points each.

        Parameters
        ----------
        image : ImageTerms
        points : Tensor, (b, n, 2)
            x, y in pixels of the model's input, on pixel edges. n may be 0.
        labels : Tensor, (b, n)
            `POSITIVE`, `NEGATIVE`, `TOP_LEFT` and `BOTTOM_RIGHT` of a box, or `PADDING`.
        multimask : bool
            The proposals for an ambiguous prompt, or the one mask for a clear one.
        """
        with torch.inference_mode():
            sparse = self._embed_points(points.to(self.device, torch.float32), labels.to(self.device))
            every = not multimask and self._dynamic is not None
            asked = range(1, self._mask_count) if multimask else range(self._mask_count if every else 1)
            outputs, keys = self._transform(image, sparse, list(asked))
            logits = self._masks(image, keys, self._hyper(outputs[:, -len(asked) :], asked))
            scores = self._iou_head(outputs[:, self._first])[:, list(asked)]
            if every:
                logits, scores = self._stable(logits, scores)
            seen = self._object_head(outputs[:, 0])[:, 0] if self._object_head else None
            return Decoded(logits, scores, seen)

    # reading the weights

    def _read_prompt_encoder(self, encoder: Any) -> None:
        self.grid: tuple[int, int] = tuple(encoder.image_embedding_size)
        self.input_size: tuple[int, int] = tuple(encoder.input_image_size)
        self.mask_size: tuple[int, int] = tuple(encoder.mask_input_size)
        self._embed_mask = encoder.mask_downscaling
        self._no_mask: Tensor = encoder.no_mask_embed.weight.float()
        self._frequencies: Tensor = 2 * math.pi * encoder.pe_layer.positional_encoding_gaussian_matrix.float()
        named = [encoder.not_a_point_embed, *encoder.point_embeddings]
        self._label_terms = torch.cat([one.weight for one in named]).float()
        height, width = self.input_size
        self._input_scale = torch.tensor((2 / width, 2 / height), device=self._frequencies.device)
        self._positions: Tensor = encoder.get_dense_pe()[0].float().flatten(1).t().contiguous()

    def _read_transformer(self, transformer: Any) -> None:
        self._layers = [_Layer(layer) for layer in transformer.layers]
        self._final = _PromptToImage(transformer.final_attn_token_to_image)
        self._final_norm = transformer.norm_final_attn

    def _read_outputs(self, decoder: Any) -> None:
        scored = bool(getattr(decoder, "pred_obj_scores", False))
        self._object_head = decoder.pred_obj_score_head if scored else None
        self._first = int(scored)
        named = [decoder.obj_score_token] if scored else []
        named += [decoder.iou_token, decoder.mask_tokens]
        self._output_tokens = torch.cat([one.weight for one in named]).float()
        self._mask_count = int(decoder.num_mask_tokens)
        self._iou_head = decoder.iou_prediction_head
        heads = [head.layers for head in decoder.output_hypernetworks_mlps]
        self._hyper_layers = [
            (
                torch.stack([layer.weight.t() for layer in level]),
                torch.stack([layer.bias[None] for layer in level]),
            )
            for level in zip(*heads, strict=True)
        ]
        first, self._up_norm, self._up_act1, second, self._up_act2 = decoder.output_upscaling
        self._up1, self._up1_bias = _as_product(first)
        self._up2, self._up2_bias = _as_product(second)
        self._dynamic = _stability(decoder)

    # what the image alone decides

    def _terms(self, tokens: Tensor, high_res: tuple[Tensor, Tensor] | None) -> ImageTerms:
        layer, positioned = self._layers[0], tokens + self._positions
        reading, writing = layer.to_image, layer.from_image
        heads, _, width = reading.key.shape
        values = torch.addmm(reading.value_bias.flatten(), tokens, reading.value.reshape(-1, width).t())
        return ImageTerms(
            tokens.contiguous(),
            reading.key @ positioned.t(),
            values.view(len(tokens), heads, -1).transpose(0, 1).contiguous(),
            torch.baddbmm(writing.query_bias, writing.query, positioned.t().expand(heads, -1, -1)),
            high_res,
        )

    def _in_order(self, high_res: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        fine, coarse = (one[0].float() for one in high_res)
        h, w = self.grid
        coarse = coarse.view(-1, h, 2, w, 2).permute(1, 3, 2, 4, 0).reshape(h * w, -1)
        fine = fine.view(-1, h, 2, 2, w, 2, 2).permute(1, 4, 2, 5, 3, 6, 0).reshape(h * w, -1)
        return coarse + self._up1_bias, fine + self._up2_bias.repeat(4)

    # what the prompt decides

    def _embed_points(self, points: Tensor, labels: Tensor) -> Tensor:
        angles = (points * self._input_scale - 1) @ self._frequencies
        placed = torch.cat([angles.sin(), angles.cos()], dim=-1) * (labels >= 0).unsqueeze(-1)
        return placed + self._label_terms[labels.long() + 1]

    def _transform(self, image: ImageTerms, sparse: Tensor, asked: list[int]) -> tuple[Tensor, Tensor]:
        """The wanted output tokens (b, k, C), those of the masks last, and the image tokens (b, P, C)."""
        output = self._output_tokens.expand(len(sparse), -1, -1)
        prompt = torch.cat([output, sparse], dim=1)
        queries, keys = self._layers[0].first(prompt, image)
        for layer in self._layers[1:]:
            queries, keys = layer(queries, prompt, keys, keys + self._positions)
        wanted = [*range(self._first + 1), *(self._first + 1 + mask for mask in asked)]
        queries, prompt = queries[:, wanted], prompt[:, wanted]
        read = self._final(queries + prompt, keys + self._positions, keys)
        return self._final_norm(queries + read), keys

    def _hyper(self, tokens: Tensor, asked: range) -> Tensor:
        """The weights (b, m, C / 8) with which the asked masks are summed from the channels."""
        part = slice(asked.start, asked.stop)
        x = tokens.transpose(0, 1)
        for level, (weight, bias) in enumerate(self._hyper_layers):
            x = torch.baddbmm(bias[part], x.relu() if level else x, weight[part])
        return x.transpose(0, 1)

    def _masks(self, image: ImageTerms, keys: Tensor, hyper: Tensor) -> Tensor:
        """The logits (b, m, 4 h, 4 w) from the image tokens (b, P, C)."""
        count, places, _ = keys.shape
        step = max(1, _PIECE // count) if keys.device.type == "cpu" else places
        masks = keys.new_empty(count, hyper.shape[1], places * 16)
        for start in range(0, places, step):
            piece = slice(start, start + step)
            pixels = self._upscaled(image, keys[:, piece], piece)
            masks[:, :, start * 16 : (start + step) * 16] = hyper @ pixels.transpose(1, 2)
        h, w = self.grid
        ordered = masks.view(count, -1, h, w, 2, 2, 2, 2).permute(0, 1, 2, 4, 6, 3, 5, 7)
        return ordered.reshape(count, -1, 4 * h, 4 * w)

    def _upscaled(self, image: ImageTerms, keys: Tensor, piece: slice) -> Tensor:
        """16 pixels for each of some image tokens: (b, n, C) -> (b, 16 n, C / 8), out of order."""
        count, places, _ = keys.shape
        if image.high_res is None:
            x = functional.linear(keys, self._up1.t(), self._up1_bias)
        else:
            x = keys @ self._up1 + image.high_res[0][piece]
        x = x.view(count, 4 * places, -1)
        norm = self._up_norm
        x = self._up_act1(functional.layer_norm(x, x.shape[-1:], norm.weight, norm.bias, norm.eps))
        if image.high_res is None:
            x = functional.linear(x, self._up2.t(), self._up2_bias)
        else:
            fine = image.high_res[1][piece].view(4 * places, -1)
            x = torch.baddbmm(fine.expand(count, -1, -1), x, self._up2.expand(count, -1, -1))
        pixels: Tensor = self._up_act2(x)
        return pixels.view(count, 16 * places, -1)

    def _stable(self, logits: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Of all masks the single one where it is stable, else the best proposal."""
        assert self._dynamic is not None
        delta, threshold = self._dynamic
        single = logits[:, 0].flatten(1)
        inner, outer = (single > delta).sum(-1).float(), (single > -delta).sum(-1).float()
        stability = torch.where(outer > 0, inner / outer, 1.0)
        best = torch.where(stability >= threshold, 0, 1 + scores[:, 1:].argmax(-1))
        rows = torch.arange(len(best), device=best.device)
        return logits[rows, best].unsqueeze(1), scores[rows, best].unsqueeze(1)


class _PromptToImage:
    """Attention of prompt tokens to image tokens; the image's projections are moved to the prompt."""

    def __init__(self, attention: Any) -> None:
        self.heads = int(attention.num_heads)
        self.query = attention.q_proj
        self.key = _per_head(attention.k_proj.weight, self.heads) / _root(attention)
        self.value = _per_head(attention.v_proj.weight, self.heads)
        self.value_bias = attention.v_proj.bias.float().view(self.heads, 1, -1)
        self.out = attention.out_proj

    def __call__(self, tokens: Tensor, positioned: Tensor, image: Tensor) -> Tensor:
        """What tokens (b, n, C) read from the image (b, P, C), whose keys are `positioned`."""
        count, width = len(tokens), image.shape[-1]
        asked = (self._queries(tokens) @ self.key).reshape(count, -1, width)
        weights = torch.softmax(asked @ positioned.transpose(1, 2), dim=-1)
        read = (weights @ image).view(count, self.heads, -1, width)
        return self._joined(read @ self.value.transpose(1, 2) + self.value_bias)

    def from_terms(self, tokens: Tensor, image: ImageTerms) -> Tensor:
        """The same where keys and values are known, and the same for all prompts."""
        count = len(tokens)
        asked = self._queries(tokens).transpose(0, 1).flatten(1, 2)
        read = torch.softmax(asked @ image.keys, dim=-1) @ image.values
        return self._joined(read.view(self.heads, count, -1, read.shape[-1]).transpose(0, 1))

    def _queries(self, tokens: Tensor) -> Tensor:
        return _by_head(self.query(tokens), self.heads)

    def _joined(self, read: Tensor) -> Tensor:
        joined: Tensor = self.out(read.transpose(1, 2).flatten(2))
        return joined


class _ImageToPrompt:
    """Attention of image tokens to prompt tokens, likewise."""

    def __init__(self, attention: Any) -> None:
        self.heads = int(attention.num_heads)
        self.query = _per_head(attention.q_proj.weight, self.heads) / _root(attention)
        self.query_bias = attention.q_proj.bias.float().view(self.heads, -1, 1) / _root(attention)
        self.key = attention.k_proj
        self.value = attention.v_proj
        self.out = _per_head(attention.out_proj.weight.t(), self.heads)
        self.out_bias = attention.out_proj.bias.float()

    def __call__(self, image: Tensor, positioned: Tensor, tokens: Tensor, named: Tensor) -> Tensor:
        """The image (b, P, C), plus what it reads from tokens (b, n, C) whose keys are `named`."""
        keys = self._split(self.key(named))
        asked, bias = (keys @ self.query).flatten(1, 2), (keys @ self.query_bias).flatten(1, 2)
        scores = torch.baddbmm(bias, asked, positioned.transpose(1, 2))
        return self._added(image, scores.view(*keys.shape[:3], -1).softmax(dim=2), tokens)

    def from_terms(self, image: ImageTerms, tokens: Tensor, named: Tensor) -> Tensor:
        """The same where the queries are known, and the same for all prompts."""
        keys = self._split(self.key(named)).transpose(0, 1)
        scores = (keys.flatten(1, 2) @ image.queries).view(*keys.shape[:3], -1)
        weights = scores.softmax(dim=2).transpose(0, 1)
        return self._added(image.tokens.expand(len(tokens), -1, -1), weights, tokens)

    def _added(self, image: Tensor, weights: Tensor, tokens: Tensor) -> Tensor:
        """`weights` is (b, H, n, P)."""
        # the weights of each head sum to 1, so each head brings its share of the bias
        values = self._split(self.value(tokens)) @ self.out + self.out_bias / self.heads
        return torch.baddbmm(image, weights.flatten(1, 2).transpose(1, 2), values.flatten(1, 2))

    def _split(self, tokens: Tensor) -> Tensor:
        return _by_head(tokens, self.heads)


class _Layer:
    """One block of the two-way transformer."""

    def __init__(self, block: Any) -> None:
        self.own = block.self_attn
        self.own_alone = bool(block.skip_first_layer_pe)
        self.to_image = _PromptToImage(block.cross_attn_token_to_image)
        self.from_image = _ImageToPrompt(block.cross_attn_image_to_token)
        self.mlp = block.mlp
        self.norms = (block.norm1, block.norm2, block.norm3, block.norm4)

    def first(self, prompt: Tensor, image: ImageTerms) -> tuple[Tensor, Tensor]:
        """Tokens and image tokens after the first layer, where the tokens are the prompt itself."""
        tokens = self._among_themselves(prompt, prompt)
        tokens = self._after_reading(tokens, self.to_image.from_terms(tokens + prompt, image))
        return tokens, self.norms[3](self.from_image.from_terms(image, tokens, tokens + prompt))

    def __call__(
        self, tokens: Tensor, prompt: Tensor, image: Tensor, positioned: Tensor
    ) -> tuple[Tensor, Tensor]:
        tokens = self._among_themselves(tokens, prompt)
        tokens = self._after_reading(tokens, self.to_image(tokens + prompt, positioned, image))
        return tokens, self.norms[3](self.from_image(image, positioned, tokens, tokens + prompt))

    def _among_themselves(self, tokens: Tensor, prompt: Tensor) -> Tensor:
        if self.own_alone:
            return self.norms[0](_attend(self.own, tokens, tokens))  # type: ignore[no-any-return]
        return self.norms[0](tokens + _attend(self.own, tokens + prompt, tokens))  # type: ignore[no-any-return]

    def _after_reading(self, tokens: Tensor, read: Tensor) -> Tensor:
        tokens = self.norms[1](tokens + read)
        return self.norms[2](tokens + self.mlp(tokens))  # type: ignore[no-any-return]


def _attend(attention: Any, named: Tensor, tokens: Tensor) -> Tensor:
    # the modules' own forward differs between the packages, and sam3's sets switches of torch
    query, key, value = (
        _by_head(projected, attention.num_heads)
        for projected in (attention.q_proj(named), attention.k_proj(named), attention.v_proj(tokens))
    )
    read = functional.scaled_dot_product_attention(query, key, value)
    return attention.out_proj(read.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


def _by_head(tokens: Tensor, heads: int) -> Tensor:
    """(b, n, H * d) -> (b, H, n, d)."""
    return tokens.view(*tokens.shape[:2], heads, -1).transpose(1, 2)


def _per_head(weight: Tensor, heads: int) -> Tensor:
    """(H * d, C) -> (H, d, C)."""
    return weight.float().reshape(heads, -1, weight.shape[-1]).contiguous()


def _root(attention: Any) -> float:
    return math.sqrt(attention.internal_dim // attention.num_heads)


def _as_product(convolution: Any) -> tuple[Tensor, Tensor]:
    """The matrix (C, 4 c) and bias (4 c,) of a transposed convolution with kernel and stride 2."""
    if convolution.kernel_size != (2, 2) or convolution.stride != (2, 2):
        raise ValueError(f"not a convolution that doubles the size: {convolution}")
    weight = convolution.weight.float().permute(0, 2, 3, 1).flatten(1).contiguous()
    return weight, convolution.bias.float().repeat(4)


def _stability(decoder: Any) -> tuple[float, float] | None:
    if not getattr(decoder, "dynamic_multimask_via_stability", False):
        return None
    return decoder.dynamic_multimask_stability_delta, decoder.dynamic_multimask_stability_thresh
