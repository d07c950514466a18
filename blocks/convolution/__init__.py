"""Convolution and pooling."""

from __future__ import annotations

from .adaptive_pooling import AdaptiveAvgPool1d as AdaptiveAvgPool1d
from .adaptive_pooling import AdaptiveAvgPool2d as AdaptiveAvgPool2d
from .adaptive_pooling import AdaptiveAvgPool3d as AdaptiveAvgPool3d
from .adaptive_pooling import AdaptiveMaxPool1d as AdaptiveMaxPool1d
from .adaptive_pooling import AdaptiveMaxPool2d as AdaptiveMaxPool2d
from .adaptive_pooling import AdaptiveMaxPool3d as AdaptiveMaxPool3d
from .adaptive_pooling import GlobalAvgPool as GlobalAvgPool
from .adaptive_pooling import GlobalMaxPool as GlobalMaxPool
from .channel_adapter import ChannelAdapter as ChannelAdapter
from .conv import Conv1d as Conv1d
from .conv import Conv2d as Conv2d
from .conv import Conv3d as Conv3d
from .conv_transpose import ConvTranspose1d as ConvTranspose1d
from .conv_transpose import ConvTranspose2d as ConvTranspose2d
from .conv_transpose import ConvTranspose3d as ConvTranspose3d
from .diffusion import LoRAAttention as LoRAAttention
from .diffusion import LoRAUNetBlock as LoRAUNetBlock
from .diffusion import ResnetBlock2D as ResnetBlock2D
from .frozen_batch_norm import FrozenBatchNorm2d as FrozenBatchNorm2d
from .pooling import AvgPool1d as AvgPool1d
from .pooling import AvgPool2d as AvgPool2d
from .pooling import AvgPool3d as AvgPool3d
from .pooling import MaxPool1d as MaxPool1d
from .pooling import MaxPool2d as MaxPool2d
from .pooling import MaxPool3d as MaxPool3d
from .residual import BottleneckBlock as BottleneckBlock
from .residual import ResNetBlock as ResNetBlock
from .residual import ResNeXtBlock as ResNeXtBlock
from .separable import DepthwiseConv as DepthwiseConv
from .separable import DilatedConv as DilatedConv
from .separable import SeparableConv as SeparableConv
from .squeeze_excitation import ChannelGate as ChannelGate
from .squeeze_excitation import SEBlock as SEBlock

__all__ = [
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveAvgPool3d",
    "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d",
    "AdaptiveMaxPool3d",
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "BottleneckBlock",
    "ChannelAdapter",
    "ChannelGate",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
    "DepthwiseConv",
    "DilatedConv",
    "FrozenBatchNorm2d",
    "GlobalAvgPool",
    "GlobalMaxPool",
    "LoRAAttention",
    "LoRAUNetBlock",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
    "ResNeXtBlock",
    "ResNetBlock",
    "ResnetBlock2D",
    "SEBlock",
    "SeparableConv",
]
