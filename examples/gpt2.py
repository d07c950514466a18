"""GPT-2 writes a text, one launch per token: python examples/gpt2.py [FOLDER] --prompt "Once upon a time".

FOLDER holds config.json and model.safetensors (and vocab.json and merges.txt), as Hugging Face has them. Without one, a
small random model is made, which writes nonsense. The temperature rises and top-k falls while the text is written.
"""

import argparse
import codecs
import json
import tempfile
import time
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

import cudagraph as cg
from cudagraph.blocks.models import from_pretrained, read_tokenizer

parser = argparse.ArgumentParser(description="GPT-2 writes a text, one launch per token.")
parser.add_argument("folder", nargs="?", type=Path)
parser.add_argument("--prompt", default="Once upon a time")
parser.add_argument("--tokens", type=int, default=100)
parser.add_argument("--temperature", type=float, nargs=2, default=(0.7, 1.1), help="at the beginning and at the end")
parser.add_argument("--top-k", type=int, nargs=2, default=(100, 20), help="at the beginning and at the end")
parser.add_argument("--dtype", default="float32", choices=("float32", "float16", "bfloat16"))
parser.add_argument("--seed", type=int, default=0)


def random_checkpoint(folder: Path, layers: int = 4, width: int = 128, heads: int = 4) -> Path:
    """A folder as `save_pretrained` of transformers writes it, with random weights and bytes as tokens."""
    config = {"model_type": "gpt2", "vocab_size": 256, "n_positions": 512, "n_embd": width, "n_layer": layers}
    (folder / "config.json").write_text(json.dumps(config | {"n_head": heads, "eos_token_id": None}))
    shapes = {"wte.weight": (256, width), "wpe.weight": (512, width), "ln_f.weight": (width,), "ln_f.bias": (width,)}
    products = {"attn.c_attn": (1, 3), "attn.c_proj": (1, 1), "mlp.c_fc": (1, 4), "mlp.c_proj": (4, 1)}
    for layer in (f"h.{number}" for number in range(layers)):
        shapes |= {f"{layer}.{norm}.{name}": (width,) for norm in ("ln_1", "ln_2") for name in ("weight", "bias")}
        shapes |= {f"{layer}.{name}.weight": (i * width, o * width) for name, (i, o) in products.items()}
        shapes |= {f"{layer}.{name}.bias": (o * width,) for name, (_, o) in products.items()}
    random = np.random.default_rng(0)
    save_file({k: random.normal(0, 0.1, v).astype("f4") for k, v in shapes.items()}, folder / "model.safetensors")
    return folder


args = parser.parse_args()
with tempfile.TemporaryDirectory() as made, cg.CudaEngine() as engine:
    folder = args.folder or random_checkpoint(Path(made))
    model, tokenizer = from_pretrained(folder, args.dtype), read_tokenizer(folder)
    text = codecs.getincrementaldecoder("utf-8")("replace")  # a letter may take several tokens
    if not args.folder:
        print("Without a FOLDER, a small model of random weights writes nonsense:")
    print(args.prompt, end="", flush=True)
    times = []
    for number, token in enumerate(model.stream(engine, tokenizer.encode(args.prompt), args.tokens, seed=args.seed)):
        times.append(time.perf_counter())
        print(text.decode(tokenizer.decode([token])), end="", flush=True)
        for parameter, (first, last) in (("temperature", args.temperature), ("top_k", args.top_k)):
            model.parameters[parameter].value = type(first)(first + (last - first) * number / args.tokens)
    speed = (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else 0
    print(f"\n{len(times)} tokens, {speed:.1f} tokens/s on {engine.device.name}; {engine.rebuilds} builds in all")
