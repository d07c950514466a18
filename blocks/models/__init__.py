"""Models of other makers, read from their checkpoints: `from_pretrained`, and `SafetensorsModel` for any block."""

from __future__ import annotations

from .bert import BERT as BERT
from .causal import CausalLM as CausalLM
from .gpt2 import GPT2 as GPT2
from .key_table import Part as Part
from .key_table import Split as Split
from .key_table import Transposed as Transposed
from .llama import Llama as Llama
from .patch_tokens import PatchTokens as PatchTokens
from .pretrained import from_pretrained as from_pretrained
from .resnet import ResNet as ResNet
from .safetensors_model import SafetensorsModel as SafetensorsModel
from .token_loop import TokenLoop as TokenLoop
from .tokenizer import read_tokenizer as read_tokenizer
from .vit import ViT as ViT

__all__ = [
    "BERT",
    "GPT2",
    "CausalLM",
    "Llama",
    "Part",
    "PatchTokens",
    "ResNet",
    "SafetensorsModel",
    "Split",
    "TokenLoop",
    "Transposed",
    "ViT",
    "from_pretrained",
    "read_tokenizer",
]
