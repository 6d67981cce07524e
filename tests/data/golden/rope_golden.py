"""Makes rope.json: inverse frequencies and attention scaling of transformers' modeling_rope_utils.

usage: rope_golden.py TRANSFORMERS_PACKAGE_DIR > rope.json   (needs numpy; transformers 5.23.0, unpacked)

The library's own functions run in float64 on numpy instead of torch: torch would round the frequencies
to float32, which hides errors below 1e-7.
"""
import json
import math
import sys
import types

import numpy as np


class Array(np.ndarray):
    def to(self, device=None, dtype=None):
        return self if dtype is None else self.astype(np.float64)


torch = types.SimpleNamespace(
    float=np.float64, float32=np.float64, int64=np.int64,
    arange=lambda *a, dtype=None: np.arange(*a, dtype=dtype).view(Array),
    where=lambda c, a, b: np.where(c, a, b).view(Array),
    clamp=lambda x, low, high: np.clip(x, low, high))


def load(package):
    source = open(package + "/modeling_rope_utils.py").read()
    scope = {"torch": torch, "math": math}
    for name, end in (("linear_scaling_rope", "def _compute_proportional"), ("yarn", "def _compute_longrope"),
                      ("llama3", "# This maps")):
        begin = source.index("def _compute_" + name)
        exec("from __future__ import annotations\n" + source[begin:source.index(end, begin)], scope)
    return {"linear": scope["_compute_linear_scaling_rope_parameters"],
            "yarn": scope["_compute_yarn_parameters"], "llama3": scope["_compute_llama3_parameters"]}


def llama3(theta, factor, original):
    return dict(rope_type="llama3", rope_theta=theta, factor=factor, low_freq_factor=1.0, high_freq_factor=4.0,
                original_max_position_embeddings=original)


def yarn(theta, factor, original, **more):
    return dict(rope_type="yarn", rope_theta=theta, factor=factor, original_max_position_embeddings=original, **more)


CASES = [  # name, head_dim, max_position_embeddings, rope_parameters
    ("linear", 16, 512, dict(rope_type="linear", rope_theta=10000.0, factor=4.0)),
    ("Llama 3.1 8B", 128, 131072, llama3(500000.0, 8.0, 8192)),
    ("Llama 3.2 1B", 64, 131072, llama3(500000.0, 32.0, 8192)),
    ("golden llama3", 16, 512, llama3(500000.0, 8.0, 64)),
    ("golden yarn", 16, 512, yarn(10000.0, 4.0, 32)),
    ("Qwen2.5 7B with yarn", 128, 131072, yarn(1000000.0, 4.0, 32768)),
    ("yarn with mscale", 64, 163840, yarn(10000.0, 40.0, 4096, mscale=1.0, mscale_all_dim=0.707)),
    ("yarn with attention_factor and betas", 64, 163840,
     yarn(10000.0, 40.0, 4096, attention_factor=1.25, beta_fast=48, beta_slow=2)),
    ("yarn without truncate", 64, 131072, yarn(150000.0, 32.0, 4096, truncate=False)),
    ("yarn with a null factor", 64, 16384, yarn(10000.0, None, 4096)),
    ("yarn with an empty range", 16, 4096, yarn(10000.0, 4.0, 6)),
]

if __name__ == "__main__":
    functions, out = load(sys.argv[1]), []
    for name, head_dim, positions, rope in CASES:
        config = types.SimpleNamespace(
            head_dim=head_dim, hidden_size=4 * head_dim, num_attention_heads=4,
            max_position_embeddings=positions, rope_parameters=dict(rope), standardize_rope_params=lambda: None)
        frequencies, scaling = functions[rope["rope_type"]](config)
        out.append(json.dumps(dict(name=name, head_dim=head_dim, max_position_embeddings=positions,
                                   rope_parameters=rope, attention_scaling=float(scaling),
                                   inverse_frequencies=[float(f) for f in frequencies])))
    print("[\n" + ",\n".join(out) + "\n]")
