"""BERT, ViT and ResNet next to transformers."""

from __future__ import annotations

import numpy as np
import pytest

from cudagraph.blocks.models import from_pretrained
from cudagraph.dtypes import parse_dtype

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
transformers.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()

SIZES = {"num_hidden_layers": 2, "hidden_size": 24, "num_attention_heads": 3, "intermediate_size": 36}
BERT = SIZES | {"vocab_size": 101, "max_position_embeddings": 64, "initializer_range": 0.3}
VIT = SIZES | {"image_size": 24, "patch_size": 8, "initializer_range": 0.3}
RESNET = {"embedding_size": 8, "hidden_sizes": [16, 32], "depths": [1, 2]}
CONFIGS = {
    "bert": ("Bert", BERT),
    "bert-tanh": ("Bert", BERT | {"hidden_act": "gelu_new", "type_vocab_size": 4, "layer_norm_eps": 1e-5}),
    "bert-wide": ("Bert", BERT | {"hidden_size": 40, "num_attention_heads": 5, "intermediate_size": 60}),
    "vit": ("ViT", VIT),
    "vit-no-bias": ("ViT", VIT | {"qkv_bias": False, "hidden_act": "gelu_new", "num_channels": 1}),
    "vit-oblong": ("ViT", VIT | {"image_size": [16, 24], "patch_size": 4, "hidden_size": 40, "num_attention_heads": 5}),
    "resnet": ("ResNet", RESNET),
    "resnet-basic": ("ResNet", RESNET | {"layer_type": "basic", "num_channels": 1, "depths": [2, 1]}),
    "resnet-deep": (
        "ResNet",
        {"hidden_sizes": [16, 16, 40], "depths": [2, 1, 1], "embedding_size": 8, "downsample_in_first_stage": True},
    ),
}
TOLERANCES = {"float32": 1e-4, "float16": 6e-3, "bfloat16": 5e-2}  # relative to the largest value


def oracle(name):
    """A model of transformers with random weights and running statistics."""
    torch.manual_seed(3)
    family, settings = CONFIGS[name]
    model = getattr(transformers, f"{family}Model")(getattr(transformers, f"{family}Config")(**settings)).eval()
    random = torch.Generator().manual_seed(4)
    for key, value in model.state_dict().items():
        if "norm" in key.lower() and value.is_floating_point():
            value.copy_(0.5 + torch.rand(value.shape, generator=random))
    return model


def inputs_of(name, model, dtype):
    random = np.random.default_rng(0)
    if not name.startswith("bert"):
        config = model.config
        size = config.image_size if hasattr(config, "image_size") else [37, 53]
        height, width = size if isinstance(size, (list, tuple)) else (size, size)
        pixels = random.standard_normal((2, config.num_channels, height, width)).astype(parse_dtype(dtype))
        return {"pixels": pixels}, {"pixel_values": torch.tensor(pixels.astype(np.float32))}
    ids = random.integers(0, model.config.vocab_size, (2, 11))
    types = random.integers(0, model.config.type_vocab_size, (2, 11))
    mask = np.arange(11) < np.array([[11], [6]])
    theirs = {"input_ids": ids, "token_type_ids": types, "attention_mask": mask.astype(np.int64)}
    ours = {"ids": ids, "token_types": types, "mask": mask}
    return ours, {key: torch.tensor(value) for key, value in theirs.items()}


def run(engine, model, inputs):
    engine.add(model)
    for port, array in inputs.items():
        engine.bind(model.ports[port], array)
    engine.update(sync=True)
    return engine.read(model.last_hidden_state).astype(np.float32)


@pytest.mark.parametrize(
    ("name", "dtype", "library"),
    [(name, "float32", None) for name in CONFIGS]
    + [(name, dtype, None) for name in ("bert", "vit", "resnet") for dtype in ("float16", "bfloat16")]
    + [("vit-oblong", "bfloat16", "cudnn"), ("resnet", "float32", "cudnn"), ("resnet-basic", "float16", "cudnn")],
)
def test_the_last_hidden_state_is_the_same(name, dtype, library, engine, tmp_path):
    theirs = oracle(name)
    theirs.save_pretrained(tmp_path)
    ours, given = inputs_of(name, theirs, dtype)
    with torch.no_grad():
        wanted = theirs(**given).last_hidden_state.numpy()
    result = run(engine, from_pretrained(tmp_path, dtype, library=library), ours)
    assert result.shape == wanted.shape
    np.testing.assert_allclose(result, wanted, rtol=0, atol=TOLERANCES[dtype] * np.abs(wanted).max())


@pytest.mark.parametrize("head", ["BertForMaskedLM", "BertForSequenceClassification", "BertForQuestionAnswering"])
def test_heads_of_other_tasks_are_left_out(head, engine, tmp_path):
    torch.manual_seed(0)
    theirs = getattr(transformers, head)(transformers.BertConfig(**BERT)).eval()
    theirs.save_pretrained(tmp_path)
    ours, given = inputs_of("bert", theirs, "float32")
    with torch.no_grad():
        wanted = theirs.bert(**given).last_hidden_state.numpy()
    result = run(engine, from_pretrained(tmp_path), ours)
    np.testing.assert_allclose(result, wanted, rtol=0, atol=1e-4 * np.abs(wanted).max())


def test_gamma_and_beta_of_old_files(tmp_path):
    from safetensors.numpy import load_file, save_file

    oracle("bert").save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    before = from_pretrained(tmp_path).state_dict()
    old = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    arrays = {}
    for name, array in load_file(path).items():
        for new, spelling in old.items():
            name = name.replace(new, spelling)
        arrays[f"bert.{name}"] = array
    save_file(arrays, path)
    after = from_pretrained(tmp_path).state_dict()
    assert before.keys() == after.keys()
    assert all((after[name] == value).all() for name, value in before.items())
