"""Language models next to transformers: the same logits, and the same text."""

from __future__ import annotations

import numpy as np
import pytest

from cudagraph.blocks.models import CausalLM, from_pretrained

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
transformers.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()

LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
# Heads of 8 elements throughout, so that all share their kernels.
GPT2 = {"n_layer": 2, "n_embd": 24, "n_head": 3, "n_positions": 96, "vocab_size": 101}
LLAMA = {
    "num_hidden_layers": 2,
    "hidden_size": 40,
    "num_attention_heads": 5,
    "intermediate_size": 36,
    "vocab_size": 103,
    "max_position_embeddings": 96,
}
CONFIGS = {
    "gpt2": ("GPT2", GPT2),
    "gpt2-five-heads": ("GPT2", GPT2 | {"n_embd": 40, "n_head": 5, "n_inner": 52, "activation_function": "gelu"}),
    "gpt2-untied": ("GPT2", GPT2 | {"tie_word_embeddings": False, "scale_attn_weights": False}),
    "llama": ("Llama", LLAMA),
    "llama-grouped": ("Llama", LLAMA | {"hidden_size": 48, "num_attention_heads": 6, "num_key_value_heads": 2}),
    "llama-tied": ("Llama", LLAMA | {"tie_word_embeddings": True, "num_key_value_heads": 1, "rope_parameters": LLAMA3}),
    "llama-biases": ("Llama", LLAMA | {"attention_bias": True, "mlp_bias": True, "hidden_act": "gelu"}),
    "llama-linear": ("Llama", LLAMA | {"rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 1e4}}),
    "mistral": ("Mistral", LLAMA | {"num_key_value_heads": 5, "sliding_window": None}),
    "mistral-window": ("Mistral", LLAMA | {"num_key_value_heads": 1, "sliding_window": 5}),
    "mistral-tied": (
        "Mistral",
        LLAMA | {"hidden_size": 72, "num_attention_heads": 9, "num_key_value_heads": 3, "sliding_window": 17}
        | {"tie_word_embeddings": True},
    ),
}  # fmt: skip
TOLERANCES = {"float32": 1e-4, "float16": 6e-3, "bfloat16": 5e-2}  # relative to the largest logit


def oracle(name, **more):
    """A model of transformers with random weights, large enough that its choices are clear."""
    torch.manual_seed(3)
    family, settings = CONFIGS[name]
    settings = {"initializer_range": 0.3, "eos_token_id": None, "bos_token_id": None, **settings, **more}
    config = getattr(transformers, f"{family}Config")(**settings)
    name = "GPT2LMHeadModel" if family == "GPT2" else f"{family}ForCausalLM"
    return getattr(transformers, name)(config).eval()


@pytest.fixture(params=CONFIGS)
def pair(request, tmp_path):
    """A model of transformers, and the folder that holds it."""
    model = oracle(request.param)
    model.save_pretrained(tmp_path)
    return model, tmp_path


def prompts(model, batch=2, tokens=7):
    return np.random.default_rng(1).integers(0, model.config.vocab_size, (batch, tokens))


def logits_of(model, ids):
    with torch.no_grad():
        return model(torch.tensor(ids)).logits.numpy()


def continued(model, ids, count):
    """The greedy continuation by transformers."""
    with torch.no_grad():
        return model.generate(torch.tensor(ids), max_new_tokens=count, do_sample=False, pad_token_id=0).numpy()


def test_logits_and_64_greedy_tokens_are_the_same(pair, engine):
    theirs, folder = pair
    model = engine.add(from_pretrained(folder))
    assert isinstance(model, CausalLM)
    for batch, tokens in ((2, 7), (1, 1), (3, 33)):
        ids = prompts(theirs, batch, tokens)
        engine.bind(model.ids, ids)
        engine.update(sync=True)
        wanted = logits_of(theirs, ids)
        np.testing.assert_allclose(engine.read(model.logits), wanted, rtol=0, atol=1e-4 * np.abs(wanted).max())
    ids = prompts(theirs)
    np.testing.assert_array_equal(model.generate(engine, ids, 64), continued(theirs, ids, 64))
    assert {block.debug.state for _, block in model.walk()} == {"ok"}


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", ["gpt2", "llama-grouped", "mistral-window"])
def test_half_precisions_are_close(name, dtype, engine, tmp_path):
    theirs = oracle(name)
    theirs.save_pretrained(tmp_path)
    model = engine.add(from_pretrained(tmp_path, dtype))
    ids = prompts(theirs)
    engine.bind(model.ids, ids)
    engine.update(sync=True)
    wanted = logits_of(theirs, ids)
    given = engine.read(model.logits).astype(np.float32)
    np.testing.assert_allclose(given, wanted, rtol=0, atol=TOLERANCES[dtype] * np.abs(wanted).max())
    assert model.generate(engine, ids, 3).shape == (2, 10)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_checkpoints_in_half_precision_load(dtype, engine, tmp_path):
    theirs = oracle("llama").to(getattr(torch, dtype))
    theirs.save_pretrained(tmp_path)
    model = engine.add(from_pretrained(tmp_path))
    ids = prompts(theirs)
    engine.bind(model.ids, ids)
    engine.update(sync=True)
    wanted = logits_of(type(theirs).from_pretrained(tmp_path, dtype=torch.float32), ids)
    np.testing.assert_allclose(engine.read(model.logits), wanted, rtol=0, atol=1e-4 * np.abs(wanted).max())


def test_a_tied_head_is_no_second_weight(tmp_path):
    oracle("gpt2").save_pretrained(tmp_path)
    model = from_pretrained(tmp_path)
    tables = [weight for weight in model.weights.values() if weight.shape[0] == 101]
    assert tables == [model.loop.weight]


def test_names_without_a_prefix_and_old_masks_load(engine, tmp_path):
    """As the checkpoints of the base model, and the first one that was published, have them."""
    theirs = oracle("gpt2")
    theirs.transformer.save_pretrained(tmp_path)
    from safetensors.numpy import load_file, save_file

    arrays = load_file(tmp_path / "model.safetensors")
    assert "wte.weight" in arrays
    save_file(arrays | {"h.0.attn.bias": np.ones((1, 1, 96, 96), "f4")}, tmp_path / "model.safetensors")
    ids = prompts(theirs)
    model = from_pretrained(tmp_path)
    np.testing.assert_array_equal(model.generate(engine, ids, 5), continued(theirs, ids, 5))


def test_shards_load(engine, tmp_path):
    theirs = oracle("llama")
    theirs.save_pretrained(tmp_path, max_shard_size="20KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    ids = prompts(theirs)
    np.testing.assert_array_equal(from_pretrained(tmp_path).generate(engine, ids, 5), continued(theirs, ids, 5))


def test_rope_in_the_words_of_old_configurations(engine, tmp_path):
    import json

    theirs = oracle("llama-tied")
    theirs.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    scaling = config.pop("rope_parameters")
    config |= {"rope_theta": scaling.pop("rope_theta"), "rope_scaling": scaling}
    (tmp_path / "config.json").write_text(json.dumps(config))
    ids = prompts(theirs, tokens=40)
    np.testing.assert_array_equal(from_pretrained(tmp_path).generate(engine, ids, 9), continued(theirs, ids, 9))
