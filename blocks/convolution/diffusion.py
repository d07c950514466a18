"""The blocks of diffusion U-Nets: residual, attention with low-rank changes, and a stage made of them."""

from __future__ import annotations

from typing import Any

from cudagraph.block import Block
from cudagraph.builder import BlockBuilder
from cudagraph.errors import DescriptionError
from cudagraph.shape import Dim

from ..activation import SiLU
from ..channel_mixing.linear import Linear
from ..composition.lora import LoRA
from ..layout.permuting import Transpose
from ..normalization.group_norm import GroupNorm
from ..sequence_mixing.attention_kernel import Attention, Sight, Sizes, packed
from .conv import Conv2d

_PEFT = {"base": "base_layer", "lora_a": "lora_A.default", "lora_b": "lora_B.default"}


class ResnetBlock2D(Block):
    """y = conv2(silu(norm2(conv1(silu(norm1(x))) + time_emb_proj(silu(temb))))) + shortcut(x), of diffusion models.

    x: [B, I, H, W], temb: [B, E] where `temb_channels` says E, y: [B, O, H, W] of `dtype` (float16, bfloat16, float32,
    float64), O = I by default. Group norms with `groups` groups, 3x3 convolutions; the shortcut is x, or where O is not
    I a 1x1 convolution. Names as in diffusers: norm1, conv1, time_emb_proj, norm2, conv2, conv_shortcut (or shortcut).
    eps of the norms is hot (diffusers: 1e-6). Activations, additions and biases are parts of other passes.
    `DescriptionError` for channels that do not divide into the groups. Ho et al. 2020, arXiv 2006.11239.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int | None = None,
        *,
        temb_channels: int | None = None,
        groups: int = 32,
        eps: float = 1e-5,
        dtype: str = "float32",
        seed: int | None = None,
    ) -> None:
        super().__init__()
        outer = in_channels if out_channels is None else out_channels
        timed = temb_channels is not None
        self.norm1 = GroupNorm(groups, in_channels, eps, activation="silu", dtype=dtype)
        self.conv1 = Conv2d(in_channels, outer, 3, padding=1, shift=timed, dtype=dtype, seed=seed)
        self.time_emb_proj = Linear(temb_channels, outer, dtype=dtype, seed=seed) if temb_channels is not None else None
        self.norm2 = GroupNorm(groups, outer, eps, activation="silu", dtype=dtype)
        self.conv2 = Conv2d(outer, outer, 3, padding=1, residual=True, dtype=dtype, seed=seed)
        self.conv_shortcut = Conv2d(in_channels, outer, 1, dtype=dtype, seed=seed) if outer != in_channels else None
        self.silu = SiLU() if timed else None
        with BlockBuilder(self) as b:
            self.x = b.input("x", ("B", in_channels, "H", "W"), dtype)
            self.temb: Any = None
            shifts: tuple[Any, ...] = ()
            if temb_channels is not None and self.time_emb_proj is not None and self.silu is not None:
                self.temb = b.input("temb", ("B", temb_channels), dtype)
                shifts = (b.apply(self.time_emb_proj, b.apply(self.silu, self.temb)),)
            inner = b.apply(self.conv1, b.apply(self.norm1, self.x), *shifts)
            around = self.x if self.conv_shortcut is None else b.apply(self.conv_shortcut, self.x)
            self.y = b.expose(b.apply(self.conv2, b.apply(self.norm2, inner), around))
            if self.conv_shortcut is not None:
                _also_stored(b, {"conv_shortcut": (self.conv_shortcut, "shortcut")})


class LoRAAttention(Block):
    """y = x + to_out(attention(to_q(n), to_k(n), to_v(n))), n = group_norm(x), every projection with a low-rank change.

    x, y: [B, C, H, W] of `dtype` (float16, bfloat16, float32, float64); the H W positions are the tokens, in `heads`
    heads of C / heads features. Names as in diffusers and PEFT: group_norm, to_q, to_k, to_v, to_out.0, each of them a
    `LoRA` with base, lora_a and lora_b (or base_layer, lora_A.default, lora_B.default). Their `scale`s are hot;
    `set_scale`, `merge` and `unmerge` are those of all four. `DescriptionError` for channels that do not divide into
    heads or groups. Hu et al. 2021, arXiv 2106.09685.
    """

    def __init__(
        self,
        channels: int,
        heads: int,
        rank: int,
        scale: float = 1.0,
        *,
        groups: int = 32,
        eps: float = 1e-5,
        bias: bool = True,
        dtype: str = "float32",
        seed: int | None = None,
    ) -> None:
        super().__init__()
        if heads < 1 or channels % heads:
            raise DescriptionError(f"a LoRAAttention: {channels} channels do not divide into {heads} heads")

        def projection() -> LoRA:
            return LoRA(Linear(channels, channels, bias, dtype=dtype, seed=seed), rank, scale, seed=seed)

        self.group_norm = GroupNorm(groups, channels, eps, dtype=dtype)
        self.to_q, self.to_k, self.to_v, self.to_out = projection(), projection(), projection(), [projection()]
        self.to_tokens, self.to_image = Transpose(), Transpose()
        with BlockBuilder(self) as b:
            self.x = b.input("x", ("B", channels, "H", "W"), dtype)
            self.y = b.output("y", self.x.shape, dtype)
            places = Dim("H") * Dim("W")
            planes = b.view(b.apply(self.group_norm, self.x), ("B", channels, places))
            tokens = b.apply(self.to_tokens, planes)
            q, k, v = (b.apply(layer, tokens) for layer in (self.to_q, self.to_k, self.to_v))
            mixed = b.scratch(("B", places, channels), dtype, name="mixed")
            length = channels // heads
            Attention(
                q=packed(q, heads, places, length),
                k=packed(k, heads, places, length),
                v=packed(v, heads, places, length),
                o=packed(mixed, heads, places, length),
                sizes=Sizes(Dim("B"), heads, 1, places, places),
                scale=length**-0.5,
                sight=Sight(),
            ).describe(b)
            out = b.apply(self.to_out[0], b.view(mixed, ("B", places, channels)))
            back = b.view(b.apply(self.to_image, out), self.x.shape)
            b.elementwise("y = x + back", x=self.x, back=back, y=self.y)

    @property
    def projections(self) -> tuple[LoRA, ...]:
        """The four layers with a low-rank change."""
        return self.to_q, self.to_k, self.to_v, *self.to_out

    def set_scale(self, scale: float) -> None:
        """Make the changes count this much from the next frame on; 0 turns them off."""
        for layer in self.projections:
            layer.scale.value = scale

    def merge(self) -> None:
        """Add the changes to the weights, live; see `LoRA.merge`."""
        for layer in self.projections:
            layer.merge()

    def unmerge(self) -> None:
        """Weights and scales as they were before `merge()`."""
        for layer in self.projections:
            layer.unmerge()


class LoRAUNetBlock(Block):
    """y = downsample(attn(resnet2(resnet1(x)))): a stage of a diffusion U-Net, the last two where asked for.

    x: [B, I, H, W], temb: [B, E] where `temb_channels` says E, y: [B, O, H', W'] of `dtype`. resnet1 and resnet2 are
    `ResnetBlock2D`s, attn is a `LoRAAttention` with `heads` heads (None: there is none) and changes of `rank`, and
    downsample a 3x3 convolution of stride 2, H' = (H - 1) // 2 + 1. diffusers' names (resnets.0, resnets.1,
    attentions.0, downsamplers.0.conv) load too. Types and errors: see `ResnetBlock2D` and `LoRAAttention`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        heads: int | None = None,
        rank: int = 4,
        downsample: bool = False,
        *,
        temb_channels: int | None = None,
        groups: int = 32,
        eps: float = 1e-5,
        dtype: str = "float32",
        seed: int | None = None,
    ) -> None:
        super().__init__()
        options: dict[str, Any] = {"groups": groups, "eps": eps, "dtype": dtype, "seed": seed}
        self.resnet1 = ResnetBlock2D(in_channels, out_channels, temb_channels=temb_channels, **options)
        self.resnet2 = ResnetBlock2D(out_channels, temb_channels=temb_channels, **options)
        self.attn = None if heads is None else LoRAAttention(out_channels, heads, rank, **options)
        self.downsample = Conv2d(out_channels, out_channels, 3, 2, 1, dtype=dtype, seed=seed) if downsample else None
        with BlockBuilder(self) as b:
            self.x = b.input("x", ("B", in_channels, "H", "W"), dtype)
            self.temb = None if temb_channels is None else b.input("temb", ("B", temb_channels), dtype)
            times = () if self.temb is None else (self.temb,)
            y = b.apply(self.resnet2, b.apply(self.resnet1, self.x, *times), *times)
            others = [block for block in (self.attn, self.downsample) if block is not None]
            for block in others:
                y = b.apply(block, y)
            self.y = b.expose(y)
            names = {"resnet1": "resnets.0", "resnet2": "resnets.1"}
            names |= {"attn": "attentions.0", "downsample": "downsamplers.0.conv"}
            there = {name: getattr(self, name) for name in names}
            _also_stored(b, {name: (block, names[name]) for name, block in there.items() if block is not None})


def _also_stored(b: BlockBuilder, aliases: dict[str, tuple[Block, str]]) -> None:
    """Children whose weights are also loaded under another name of the child, and changes under PEFT's names."""
    for name, (block, alias) in aliases.items():
        for path, weight in block.weights.items():
            words = path.split("/")
            for parts in (name, *words), (alias, *words), (alias, *(_PEFT.get(word, word) for word in words)):
                b.stored_as(weight, ".".join(parts))
