"""Convolutions and poolings against torch: code that nobody here wrote."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cudagraph as cg
from cudagraph import blocks

torch: Any = pytest.importorskip("torch")
# A few units in the last place of each type, relative to the largest value.
BOUNDS = {"float64": 1e-14, "float32": 1e-5, "float16": 2e-3, "bfloat16": 1.6e-2}


def run(block: Any, *inputs: np.ndarray) -> np.ndarray:
    with cg.CudaEngine("host") as engine:
        engine.add(block)
        for port, array in zip(block.inputs, inputs, strict=True):
            engine.bind(port, array)
        engine.update(sync=True)
        return engine.read(block.outputs[0])


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def share(ours: Any, theirs: Any) -> None:
    ours.load_state_dict({name: value.detach().numpy() for name, value in theirs.state_dict().items()})


def relative(given: np.ndarray, expected: Any) -> float:
    wanted = expected.detach().double().numpy()
    assert given.shape == wanted.shape
    return float(np.abs(given.astype(np.float64) - wanted).max() / max(1.0, np.abs(wanted).max()))


CONV2D = [
    {},
    {"padding": 1, "bias": False},
    {"padding": "same", "dilation": (1, 2)},
    {"padding": "valid", "stride": (3, 1)},
    {"stride": 2, "padding": (2, 1), "dilation": (2, 1)},
    {"groups": 2, "padding": 1},
    {"groups": 6, "stride": 2},
    {"kernel_size": (1, 4), "padding": "same"},
    {"kernel_size": 1},
    {"kernel_size": 1, "stride": 2, "bias": False},
    {"kernel_size": (5, 2), "padding": (4, 0), "stride": (2, 3), "groups": 3},
]


@pytest.mark.filterwarnings("ignore:Using padding=.same. with even kernel")
@pytest.mark.parametrize("library", [None, "cublas", "cudnn", "direct"])
@pytest.mark.parametrize("options", CONV2D, ids=str)
def test_conv2d(options, library):
    options = {"kernel_size": 3, **options}
    theirs, ours = torch.nn.Conv2d(6, 12, **options), blocks.Conv2d(6, 12, **options, library=library)
    share(ours, theirs)
    x = random(2, 6, 11, 37)
    assert relative(run(ours, x), theirs.double()(torch.from_numpy(x).double())) < 1e-5


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16"])
@pytest.mark.parametrize("library", ["cublas", "cudnn", "direct"])
def test_conv2d_in_other_types(dtype, library):
    ours = blocks.Conv2d(6, 8, 3, padding=1, dtype=dtype, library=library, seed=1)
    x = random(1, 6, 7, 9).astype(ours.weight.dtype)
    weight, bias = (torch.from_numpy(ours.weights[name].value.astype(np.float64)) for name in ("weight", "bias"))
    expected = torch.nn.functional.conv2d(torch.from_numpy(x.astype(np.float64)), weight, bias, padding=1)
    assert relative(run(ours, x), expected) < BOUNDS[dtype]


@pytest.mark.parametrize("library", ["cublas", "cudnn", "direct"])
@pytest.mark.parametrize("groups", [1, 2])
def test_conv2d_adds_a_residual_before_its_activation(library, groups):
    theirs = torch.nn.Conv2d(16, 16, 3, padding=1, groups=groups)
    ours = blocks.Conv2d(16, 16, 3, padding=1, groups=groups, activation="relu", residual=True, library=library)
    share(ours, theirs)
    x, residual = random(3, 16, 5, 9), random(3, 16, 5, 9, seed=1)
    expected = torch.relu(theirs(torch.from_numpy(x)) + torch.from_numpy(residual))
    assert relative(run(ours, x, residual), expected) < 1e-5


def test_convolutions_take_any_leading_dimensions():
    theirs, ours = torch.nn.Conv2d(3, 8, 3), blocks.Conv2d(3, 8, 3)
    share(ours, theirs)
    assert relative(run(ours, random(3, 7, 8)), theirs(torch.from_numpy(random(3, 7, 8)))) < 1e-5
    five, fresh = random(2, 2, 3, 7, 8), blocks.Conv2d(3, 8, 3)
    share(fresh, theirs)
    expected = theirs(torch.from_numpy(five).reshape(4, 3, 7, 8)).reshape(2, 2, 8, 5, 6)
    assert relative(run(fresh, five), expected) < 1e-5


def test_no_samples_give_no_results():
    x = random(0, 4, 5, 6)
    for block in (
        blocks.Conv2d(4, 8, 3, library="cublas"),
        blocks.Conv2d(4, 8, 3, library="cudnn"),
        blocks.Conv2d(4, 8, 3, library="direct"),
        blocks.ConvTranspose2d(4, 8, 3, library="cublas"),
        blocks.MaxPool2d(3),
        blocks.GlobalAvgPool(),
        blocks.FrozenBatchNorm2d(4),
        blocks.SEBlock(4),
    ):
        assert run(block, x).shape[0] == 0


@pytest.mark.parametrize("options", [{}, {"stride": 3, "padding": 2}, {"groups": 4, "dilation": 3}], ids=str)
def test_conv1d(options):
    theirs, ours = torch.nn.Conv1d(8, 12, 4, **options), blocks.Conv1d(8, 12, 4, **options)
    share(ours, theirs)
    x = random(3, 8, 151)
    assert relative(run(ours, x), theirs(torch.from_numpy(x))) < 1e-5


def test_causal_padding_never_looks_ahead():
    theirs, ours = torch.nn.Conv1d(4, 8, 3, dilation=2), blocks.Conv1d(4, 8, 3, dilation=2, padding="causal")
    share(ours, theirs)
    x = random(2, 4, 20)
    assert relative(run(ours, x), theirs(torch.nn.functional.pad(torch.from_numpy(x), (4, 0)))) < 1e-5


@pytest.mark.parametrize("library", ["cublas", "cudnn", "direct"])
@pytest.mark.parametrize(
    "options", [{}, {"stride": (1, 2, 2), "padding": (1, 0, 2)}, {"groups": 2, "dilation": (2, 1, 3)}], ids=str
)
def test_conv3d(options, library):
    theirs, ours = (
        torch.nn.Conv3d(4, 8, (2, 3, 3), **options),
        blocks.Conv3d(4, 8, (2, 3, 3), library=library, **options),
    )
    share(ours, theirs)
    x = random(2, 4, 5, 6, 19)
    assert relative(run(ours, x), theirs(torch.from_numpy(x))) < 1e-5


TRANSPOSED = [
    {},
    {"stride": 2, "padding": 1, "output_padding": 1},
    {"stride": (3, 2), "dilation": (1, 2), "padding": (0, 2), "output_padding": (2, 1)},
    {"groups": 4, "stride": 2, "bias": False},
    {"kernel_size": 2, "stride": 2},
    {"kernel_size": 1, "stride": 3},
]


@pytest.mark.parametrize("options", TRANSPOSED, ids=str)
@pytest.mark.parametrize("library", [None, "direct"])
def test_conv_transpose2d(options, library):
    options = {"kernel_size": 3, **options}
    theirs, ours = torch.nn.ConvTranspose2d(8, 12, **options), blocks.ConvTranspose2d(8, 12, library=library, **options)
    share(ours, theirs)
    x = random(2, 8, 6, 71)
    assert relative(run(ours, x), theirs(torch.from_numpy(x))) < 1e-5


@pytest.mark.parametrize("rank", [1, 3])
def test_conv_transpose_of_other_ranks(rank):
    name = f"ConvTranspose{rank}d"
    theirs = getattr(torch.nn, name)(8, 6, 3, 2, 1, 1, groups=2, dilation=2)
    ours = getattr(blocks, name)(8, 6, 3, 2, 1, 1, groups=2, dilation=2)
    share(ours, theirs)
    x = random(2, 8, *(4, 3, 9)[3 - rank :])
    assert relative(run(ours, x), theirs(torch.from_numpy(x))) < 1e-5


def with_nan(*shape: int) -> np.ndarray:
    x = random(*shape)
    x.reshape(-1)[[3, 17]] = np.nan, -np.inf
    return x


@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize(
    "options",
    [{}, {"stride": 2, "padding": 1}, {"dilation": 2, "padding": 1}, {"kernel_size": (2, 4), "stride": (3, 2)}],
    ids=str,
)
def test_max_pool2d(options, ceil_mode):
    options = {"kernel_size": 3, **options, "ceil_mode": ceil_mode}
    x = with_nan(2, 3, 12, 37)
    expected = torch.nn.MaxPool2d(**options)(torch.from_numpy(x)).numpy()
    np.testing.assert_array_equal(run(blocks.MaxPool2d(**options), x), expected)


@pytest.mark.parametrize("rank", [1, 3])
def test_max_pool_of_other_ranks(rank):
    x = with_nan(2, 3, *(5, 6, 139)[3 - rank :])
    for options in ({"ceil_mode": True}, {"dilation": 2}):
        expected = getattr(torch.nn, f"MaxPool{rank}d")(3, 2, 1, **options)(torch.from_numpy(x)).numpy()
        np.testing.assert_array_equal(run(getattr(blocks, f"MaxPool{rank}d")(3, 2, 1, **options), x), expected)


@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"stride": 2, "padding": 1},
        {"stride": 2, "padding": 1, "count_include_pad": False},
        {"kernel_size": (2, 5), "stride": (3, 4), "padding": (1, 2)},
        {"stride": 2, "padding": 1, "divisor_override": 7},
    ],
    ids=str,
)
def test_avg_pool2d(options, ceil_mode):
    options = {"kernel_size": 3, **options, "ceil_mode": ceil_mode}
    x = random(2, 3, 12, 37)
    ours = blocks.AvgPool2d(**options)
    expected = torch.nn.AvgPool2d(**options)(torch.from_numpy(x).double())
    assert relative(run(ours, x), expected) < 1e-6
    assert relative(ours.reference(x.astype(np.float64)), expected) < 1e-14


@pytest.mark.parametrize("rank", [1, 3])
@pytest.mark.parametrize("counted", [True, False])
def test_avg_pool_of_other_ranks(rank, counted):
    x = random(2, 3, *(5, 6, 139)[3 - rank :])
    options = {"ceil_mode": True, "count_include_pad": counted}
    expected = getattr(torch.nn, f"AvgPool{rank}d")(3, 2, 1, **options)(torch.from_numpy(x))
    assert relative(run(getattr(blocks, f"AvgPool{rank}d")(3, 2, 1, **options), x), expected) < 1e-6


@pytest.mark.parametrize("name", ["Avg", "Max"])
@pytest.mark.parametrize("size", [(3, 4), (1, 1), (None, 5), (12, 40)])
def test_adaptive_pool2d(name, size):
    x = random(2, 3, 11, 37)
    expected = getattr(torch.nn, f"Adaptive{name}Pool2d")(size)(torch.from_numpy(x))
    assert relative(run(getattr(blocks, f"Adaptive{name}Pool2d")(size), x), expected) < 1e-6


@pytest.mark.parametrize("name", ["Avg", "Max"])
@pytest.mark.parametrize("rank", [1, 3])
def test_adaptive_pool_of_other_ranks(name, rank):
    x = random(2, 3, *(5, 6, 17)[3 - rank :])
    expected = getattr(torch.nn, f"Adaptive{name}Pool{rank}d")(4)(torch.from_numpy(x))
    assert relative(run(getattr(blocks, f"Adaptive{name}Pool{rank}d")(4), x), expected) < 1e-6


def test_adaptive_max_pool_keeps_nan():
    x = with_nan(2, 3, 11, 37)
    expected = torch.nn.AdaptiveMaxPool2d((3, 4))(torch.from_numpy(x)).numpy()
    np.testing.assert_array_equal(run(blocks.AdaptiveMaxPool2d((3, 4)), x), expected)


def test_global_pools():
    x = random(2, 5, 13, 17)
    assert relative(run(blocks.GlobalAvgPool(), x), torch.from_numpy(x).mean((-1, -2))) < 1e-6
    x = with_nan(2, 5, 13, 17)
    np.testing.assert_array_equal(run(blocks.GlobalMaxPool(), x), torch.from_numpy(x).amax((-1, -2)).numpy())


def test_depthwise_separable_and_dilated():
    x = random(2, 6, 9, 37)
    theirs, ours = torch.nn.Conv2d(6, 12, 3, 2, 1, groups=6), blocks.DepthwiseConv(6, 3, 2, 1, multiplier=2)
    share(ours, theirs)
    assert relative(run(ours, x), theirs(torch.from_numpy(x))) < 1e-5
    theirs = torch.nn.Sequential(torch.nn.Conv2d(6, 12, 3, groups=6, bias=False), torch.nn.Conv2d(12, 9, 1))
    ours = blocks.SeparableConv(6, 9, 3, multiplier=2)
    names = {"0.weight": "depthwise.weight", "1.weight": "pointwise.weight", "1.bias": "pointwise.bias"}
    ours.load_state_dict({names[name]: value.numpy() for name, value in theirs.state_dict().items()})
    assert relative(run(ours, x), theirs(torch.from_numpy(x))) < 1e-5
    assert relative(ours.reference(x), theirs(torch.from_numpy(x))) < 1e-5
    theirs, ours = torch.nn.Conv1d(6, 8, 3, dilation=2, padding=2), blocks.DilatedConv(6, 8, 3, dims=1)
    share(ours, theirs)
    assert relative(run(ours, x[:, :, 0]), theirs(torch.from_numpy(x[:, :, 0]))) < 1e-5


def norm(features: int) -> Any:
    """A batch normalisation in evaluation, with statistics of its own."""
    module = torch.nn.BatchNorm2d(features).eval()
    with torch.no_grad():
        for tensor in (module.weight, module.bias, module.running_mean, module.running_var):
            tensor.uniform_(0.5, 1.5)
    return module


def test_frozen_batch_norm():
    theirs, ours = norm(5), blocks.FrozenBatchNorm2d(5, activation="relu", residual=True)
    share(ours, theirs)
    x, residual = random(3, 5, 6, 7), random(3, 5, 6, 7, seed=1)
    expected = torch.relu(theirs(torch.from_numpy(x)) + torch.from_numpy(residual))
    assert relative(run(ours, x, residual), expected) < 1e-6


class Residual(torch.nn.Module):
    """Convolutions with normalisations, relu between, and a shortcut: the residual blocks as the paper draws them."""

    def __init__(self, convolutions: list[Any], shortcut: Any) -> None:
        super().__init__()
        self.count = len(convolutions)
        for number, convolution in enumerate(convolutions, 1):
            setattr(self, f"conv{number}", convolution)
            setattr(self, f"bn{number}", norm(convolution.out_channels))
        self.downsample = shortcut and torch.nn.Sequential(shortcut, norm(shortcut.out_channels))

    def forward(self, x: Any) -> Any:
        y = x
        for number in range(1, self.count + 1):
            y = getattr(self, f"bn{number}")(getattr(self, f"conv{number}")(y))
            y = torch.relu(y) if number < self.count else y
        return torch.relu(y + (self.downsample(x) if self.downsample else x))


def conv(*arguments: int, **options: int) -> Any:
    return torch.nn.Conv2d(*arguments, bias=False, **options)


RESIDUAL = {
    "basic": lambda: (blocks.ResNetBlock(8, 8), Residual([conv(8, 8, 3, 1, 1), conv(8, 8, 3, 1, 1)], None)),
    "basic with stride": lambda: (
        blocks.ResNetBlock(8, 12, 2),
        Residual([conv(8, 12, 3, 2, 1), conv(12, 12, 3, 1, 1)], conv(8, 12, 1, 2)),
    ),
    "bottleneck": lambda: (
        blocks.BottleneckBlock(16, 4),
        Residual([conv(16, 4, 1), conv(4, 4, 3, 1, 1), conv(4, 16, 1)], None),
    ),
    "bottleneck with stride": lambda: (
        blocks.BottleneckBlock(8, 8, 2),
        Residual([conv(8, 8, 1), conv(8, 8, 3, 2, 1), conv(8, 32, 1)], conv(8, 32, 1, 2)),
    ),
    "many groups": lambda: (
        blocks.ResNeXtBlock(16, 8, groups=4, base_width=16),
        Residual([conv(16, 8, 1), conv(8, 8, 3, 1, 1, groups=4), conv(8, 32, 1)], conv(16, 32, 1)),
    ),
}


@pytest.mark.parametrize("name", RESIDUAL)
def test_residual_blocks(name):
    ours, theirs = RESIDUAL[name]()
    share(ours, theirs)
    x = random(2, theirs.conv1.in_channels, 9, 13)
    expected = theirs.double()(torch.from_numpy(x).double())
    assert relative(run(ours, x), expected) < 1e-5
    assert relative(ours.reference(x.astype(np.float64)), expected) < 1e-7  # eps is float32


TRAINED = {
    "basic": lambda: (
        blocks.ResNetBlock(8, 12, 2, frozen=False),
        Residual([conv(8, 12, 3, 2, 1), conv(12, 12, 3, 1, 1)], conv(8, 12, 1, 2)),
    ),
    "bottleneck": lambda: (
        blocks.BottleneckBlock(16, 4, frozen=False),
        Residual([conv(16, 4, 1), conv(4, 4, 3, 1, 1), conv(4, 16, 1)], None),
    ),
    "many groups": lambda: (
        blocks.ResNeXtBlock(16, 8, groups=4, base_width=16, frozen=False),
        Residual([conv(16, 8, 1), conv(8, 8, 3, 1, 1, groups=4), conv(8, 32, 1)], conv(16, 32, 1)),
    ),
}


@pytest.mark.parametrize("name", TRAINED)
def test_residual_blocks_track_statistics(name):
    ours, theirs = TRAINED[name]()
    share(ours, theirs)
    theirs.double()
    with cg.CudaEngine("host") as engine:
        engine.add(ours)
        for frame, training in enumerate((False, True, True, False)):
            ours.train(training)
            theirs.train(training)
            x = random(3, theirs.conv1.in_channels, 9, 13, seed=frame)
            engine.bind(ours.x, x)
            engine.update(sync=True)
            expected = theirs(torch.from_numpy(x).double())
            assert relative(engine.read(ours.y), expected) < 1e-5
            assert relative(ours.reference(x.astype(np.float64)), expected) < 1e-6
        state = ours.state_dict()
    for key, value in theirs.state_dict().items():
        np.testing.assert_allclose(state[key], value.numpy(), rtol=1e-5, atol=1e-6)


def test_composed_blocks_say_what_is_wrong():
    with pytest.raises(cg.DescriptionError, match="at least one channel"):
        blocks.SEBlock(4, 0)
    with pytest.raises(cg.DescriptionError, match="0 -> 8"):
        blocks.ResNetBlock(0, 8)


def test_squeeze_and_excitation():
    first, second = torch.nn.Conv2d(24, 6, 1), torch.nn.Conv2d(6, 24, 1)
    ours = blocks.SEBlock(24, 6)
    state = {f"fc1.{name}": value.numpy() for name, value in first.state_dict().items()}
    ours.load_state_dict(state | {f"fc2.{name}": value.numpy() for name, value in second.state_dict().items()})
    x = torch.from_numpy(random(3, 24, 7, 9))
    expected = x * torch.sigmoid(second(torch.relu(first(x.mean((2, 3), keepdim=True)))))
    assert relative(run(ours, x.numpy()), expected) < 1e-5
    assert relative(ours.reference(x.numpy()), expected) < 1e-5


def test_channel_adapter():
    x = random(2, 3, 5, 7)
    gray = (x * np.array([0.299, 0.587, 0.114], np.float32)[:, None, None]).sum(1, keepdims=True)
    np.testing.assert_allclose(run(blocks.ChannelAdapter(3, 1, "luma"), x), gray, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(run(blocks.ChannelAdapter(1, 3, "repeat"), gray), np.repeat(gray, 3, axis=1))
    theirs, ours = torch.nn.Conv2d(3, 8, 1), blocks.ChannelAdapter(3, 8)
    share(ours, theirs)
    assert relative(run(ours, x), theirs(torch.from_numpy(x))) < 1e-5


class Attend(torch.nn.Module):
    """Self-attention over the positions of an image, each projection with a low-rank change."""

    def __init__(self, channels: int, heads: int, rank: int, groups: int) -> None:
        super().__init__()
        self.heads = heads
        self.group_norm = torch.nn.GroupNorm(groups, channels)
        for name in ("to_q", "to_k", "to_v", "to_out"):
            layer = torch.nn.Module()
            layer.base_layer = torch.nn.Linear(channels, channels)
            layer.lora_A = torch.nn.ModuleDict({"default": torch.nn.Linear(channels, rank, bias=False)})
            layer.lora_B = torch.nn.ModuleDict({"default": torch.nn.Linear(rank, channels, bias=False)})
            setattr(self, name, torch.nn.ModuleList([layer]) if name == "to_out" else layer)

    def forward(self, x: Any, scale: float = 1.0) -> Any:
        def change(layer: Any, y: Any) -> Any:
            return layer.base_layer(y) + scale * layer.lora_B["default"](layer.lora_A["default"](y))

        tokens = self.group_norm(x).flatten(2).transpose(1, 2)
        parts = (change(layer, tokens).unflatten(2, (self.heads, -1)) for layer in (self.to_q, self.to_k, self.to_v))
        mixed = torch.nn.functional.scaled_dot_product_attention(*(part.transpose(1, 2) for part in parts))
        return x + change(self.to_out[0], mixed.transpose(1, 2).flatten(2)).transpose(1, 2).reshape(x.shape)


class Denoise(torch.nn.Module):
    """A residual block of a diffusion model, as its paper has it; the names are those of diffusers."""

    def __init__(self, before: int, after: int, times: int | None, groups: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = torch.nn.GroupNorm(groups, before), torch.nn.GroupNorm(groups, after)
        self.conv1 = torch.nn.Conv2d(before, after, 3, padding=1)
        self.conv2 = torch.nn.Conv2d(after, after, 3, padding=1)
        self.time_emb_proj = times and torch.nn.Linear(times, after)
        self.conv_shortcut = torch.nn.Conv2d(before, after, 1) if before != after else None

    def forward(self, x: Any, time: Any = None) -> Any:
        silu = torch.nn.functional.silu
        y = self.conv1(silu(self.norm1(x)))
        y = y if time is None else y + self.time_emb_proj(silu(time))[:, :, None, None]
        return self.conv2(silu(self.norm2(y))) + (self.conv_shortcut(x) if self.conv_shortcut else x)


def lively(module: Any) -> Any:
    """The module with norms that do something."""
    with torch.no_grad():
        for tensor in module.parameters():
            tensor.add_(torch.empty_like(tensor).uniform_(-0.2, 0.2))
    return module


@pytest.mark.parametrize(("before", "after", "times"), [(8, 8, None), (8, 12, None), (8, 8, 5), (4, 12, 7)])
def test_diffusion_residual(before, after, times):
    theirs = lively(Denoise(before, after, times, 4))
    ours = blocks.ResnetBlock2D(before, after, temb_channels=times, groups=4)
    share(ours, theirs)
    inputs = [random(2, before, 7, 9)] + ([random(2, times, seed=1)] if times else [])
    expected = theirs.double()(*(torch.from_numpy(array).double() for array in inputs))
    assert relative(run(ours, *inputs), expected) < 1e-5
    if before != after:
        given = {name.replace("conv_shortcut", "shortcut"): array for name, array in ours.state_dict().items()}
        assert blocks.ResnetBlock2D(before, after, temb_channels=times, groups=4).load_state_dict(given)


def test_lora_attention():
    theirs = lively(Attend(12, 3, 2, 4))
    ours = blocks.LoRAAttention(12, 3, 2, groups=4)
    share(ours, theirs)
    x = random(2, 12, 5, 7)
    theirs.double()
    with cg.CudaEngine("host") as engine:
        engine.add(ours)
        engine.bind(ours.x, x)
        for scale in (1.0, 0.25):
            ours.set_scale(scale)
            engine.update(sync=True)
            assert relative(engine.read(ours.y), theirs(torch.from_numpy(x).double(), scale)) < 1e-5
        ours.merge()
        engine.update(sync=True)
        assert relative(engine.read(ours.y), theirs(torch.from_numpy(x).double(), 0.25)) < 1e-5
        ours.unmerge()
        assert ours.to_q.scale.value == 0.25
    with pytest.raises(cg.DescriptionError, match="12 channels do not divide into 5 heads"):
        blocks.LoRAAttention(12, 5, 2)


@pytest.mark.parametrize("whole", [True, False])
def test_lora_unet_block(whole):
    module = torch.nn.Module()
    module.resnets = torch.nn.ModuleList([Denoise(4, 8, 5, 4), Denoise(8, 8, 5, 4)])
    if whole:
        module.attentions = torch.nn.ModuleList([Attend(8, 2, 3, 4)])
        module.downsamplers = torch.nn.ModuleList([torch.nn.Module()])
        module.downsamplers[0].conv = torch.nn.Conv2d(8, 8, 3, 2, 1)
    ours = blocks.LoRAUNetBlock(4, 8, 2 if whole else None, 3, whole, temb_channels=5, groups=4)
    share(ours, lively(module))
    x, time = random(2, 4, 7, 8), random(2, 5, seed=1)
    module.double()
    y, at = torch.from_numpy(x).double(), torch.from_numpy(time).double()
    for layer in module.resnets:
        y = layer(y, at)
    if whole:
        y = module.downsamplers[0].conv(module.attentions[0](y))
    assert relative(run(ours, x, time), y) < 1e-5
