"""What is said of model folders that cannot be read."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

import cudagraph as cg
from cudagraph.blocks.models import GPT2, from_pretrained

GPT = {"model_type": "gpt2", "vocab_size": 20, "n_positions": 8, "n_embd": 8, "n_layer": 1, "n_head": 2}
LLAMA = {"model_type": "llama", "vocab_size": 20, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
MISTRAL = LLAMA | {"model_type": "mistral", "num_key_value_heads": 1}
RESNET = {"model_type": "resnet", "hidden_sizes": [8, 16], "depths": [1, 1], "embedding_size": 8}


def written(folder, config, arrays=None):
    (folder / "config.json").write_text(json.dumps(config) if isinstance(config, dict) else config)
    if arrays is not None:
        save_file(arrays, folder / "model.safetensors")
    return folder


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "model_type is missing; what works is 'bert' or 'gpt2' or 'llama' or 'mistral' or 'resnet' or 'vit'"),
        ({"model_type": "mamba"}, "model_type = 'mamba' is not supported; what works is 'bert' or"),
        ({"model_type": ["gpt2"]}, "model_type = .* is not supported"),
        (GPT | {"activation_function": "laplace"}, "activation_function = 'laplace' is not supported; .*'gelu_new'"),
        (GPT | {"n_layer": 0}, "n_layer = 0 is not supported; what works is a whole number above 0"),
        (GPT | {"n_embd": "8"}, "n_embd = '8' is not supported"),
        (GPT | {"n_head": 3}, "8 features do not divide into 3 heads"),
        (GPT | {"add_cross_attention": True}, "add_cross_attention = True is not supported; what works is False"),
        (GPT | {"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx = True"),
        (GPT | {"layer_norm_epsilon": -1}, "layer_norm_epsilon = -1 is not supported; what works is a number above 0"),
        (GPT | {"tie_word_embeddings": 3}, "tie_word_embeddings = 3 is not supported; what works is true or false"),
        (GPT | {"eos_token_id": "x"}, "eos_token_id = 'x' is not supported"),
        (
            LLAMA | {"rope_scaling": {"rope_type": "longrope"}},
            "rope_scaling = .* a rope_type of default, linear, llama3",
        ),
        (LLAMA | {"rope_parameters": 7}, "rope_parameters = 7"),
        (LLAMA | {"rope_scaling": {"type": "linear"}}, "rotary scaling 'linear' needs 'factor'"),
        (MISTRAL | {"sliding_window": 0}, "sliding_window = 0"),
        (MISTRAL | {"layer_types": ["full_attention"]}, "layer_types = "),
        (RESNET | {"depths": [1]}, "depths = .* what works is a list of 2 numbers"),
        (RESNET | {"hidden_sizes": [9, 18]}, "hidden_sizes = .* multiples of 4"),
        (RESNET | {"hidden_act": "gelu"}, "hidden_act = 'gelu' is not supported; what works is 'relu'"),
        (RESNET | {"downsample_in_bottleneck": True}, "downsample_in_bottleneck = True"),
        ({"model_type": "bert", "position_embedding_type": "relative_key"}, "position_embedding_type = 'relative_key'"),
        ({"model_type": "vit", "image_size": "big"}, "image_size = 'big'"),
        ("[1]", "config.json is malformed: a JSON object is wanted, not a list"),
        ("{", "config.json is malformed"),
    ],
)
def test_a_configuration_that_is_not_supported_is_named(tmp_path, config, message):
    with pytest.raises(cg.DescriptionError, match=message):
        from_pretrained(written(tmp_path, config))


def test_a_folder_without_its_files_is_named(tmp_path):
    with pytest.raises(cg.DescriptionError, match="is no folder"):
        from_pretrained(tmp_path / "gone")
    with pytest.raises(cg.DescriptionError, match=r"there is no file .*config\.json"):
        from_pretrained(tmp_path)
    with pytest.raises(cg.DescriptionError, match=r"holds neither model\.safetensors"):
        from_pretrained(written(tmp_path, GPT))
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(cg.DescriptionError, match="only safetensors files are read"):
        from_pretrained(tmp_path)


def test_tensors_that_do_not_fit_are_named(tmp_path):
    arrays = {"wte.weight": np.zeros((20, 8), "f4"), "wpe.weight": np.zeros((9, 8), "f4"), "extra": np.zeros(1, "f4")}
    message = r"1 loaded; \d+ missing: .*; 1 unexpected: extra; 1 mismatched: loop\.positions"
    with pytest.raises(cg.DescriptionError, match=message):
        from_pretrained(written(tmp_path, GPT, arrays))


def test_another_type_is_refused(tmp_path):
    with pytest.raises(cg.DescriptionError, match="float32, float16 or bfloat16, not 'int8'"):
        from_pretrained(written(tmp_path, GPT), "int8")


def test_another_library_is_for_models_that_take_it(tmp_path):
    with pytest.raises(cg.DescriptionError, match="library='cudnn': only vit and resnet take another one"):
        from_pretrained(written(tmp_path, GPT), library="cudnn")


def test_max_length_bounds_the_memory_of_keys_and_values():
    model = GPT2(20, 64, 8, 1, 2, max_length=16)
    assert model.max_length == 16
    assert {tuple(state.shape)[2] for name, state in model.states.items() if name.endswith("_cache")} == {16}
    assert model.weights["loop/positions"].shape == (64, 8)
