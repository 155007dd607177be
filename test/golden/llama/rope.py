"""Rotary tables as transformers computes them: cos and sin for each kind of scaling, and the inverse frequencies.

Only the first half of the last axis is stored (transformers repeats it). Both precisions are kept: `.f32` is what
transformers itself uses, `.f64` the same formulas in float64, rounded once to float32.
"""

import copy
import os

import torch
from safetensors.torch import save_file
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from cases import ROPE, ROPE_HEAD_DIM, ROPE_POSITIONS
from wide import norm_wise, precision


def _tables(entry, dtype):
    with precision(dtype), torch.no_grad():
        config = LlamaConfig.from_dict({
            "hidden_size": 2 * ROPE_HEAD_DIM, "num_attention_heads": 2, "head_dim": ROPE_HEAD_DIM,
            **copy.deepcopy({k: v for k, v in entry.items() if k != "name"}),
        })
        rotary = LlamaRotaryEmbedding(config)
        positions = torch.arange(ROPE_POSITIONS)[None]
        cos, sin = rotary(torch.zeros(1, dtype=dtype), positions)
        half = ROPE_HEAD_DIM // 2
        assert cos.dtype == dtype and torch.equal(cos[..., :half], cos[..., half:]) and torch.equal(sin[..., :half], sin[..., half:])
        return cos[0, :, :half], sin[0, :, :half], rotary.inv_freq, float(rotary.attention_scaling)


def write(folder, write_json):
    os.makedirs(folder, exist_ok=True)
    tensors, kinds, differences = {}, [], {}
    for entry in ROPE:
        name = entry["name"]
        narrow, wide = _tables(entry, torch.float32), _tables(entry, torch.float64)
        for label, (cos, sin, inverse, _) in (("f32", narrow), ("f64", wide)):
            tensors[f"{name}.cos.{label}"] = cos.float().contiguous()
            tensors[f"{name}.sin.{label}"] = sin.float().contiguous()
            tensors[f"{name}.invFreq.{label}"] = inverse.float().contiguous()
        if name != "default":
            assert norm_wise(wide[0], torch.cos(_default_angles())) > 1e-2, f"{name}: the scaling does not show"
        kinds.append({"name": name, "config": {k: v for k, v in entry.items() if k != "name"}, "attentionFactor": wide[3]})
        differences[name] = {"cos": norm_wise(narrow[0], wide[0]), "sin": norm_wise(narrow[1], wide[1])}
    save_file(tensors, os.path.join(folder, "tables.safetensors"))
    write_json(os.path.join(folder, "case.json"), {
        "name": "rope",
        "what": "rotary tables [position, headDim / 2]; dynamic is taken at a sequence of all positions, longer than its maximum",
        "headDim": ROPE_HEAD_DIM,
        "positions": ROPE_POSITIONS,
        "kinds": kinds,
        "info": {"f32AgainstF64": differences},
    })


def _default_angles():
    half = torch.arange(ROPE_HEAD_DIM // 2, dtype=torch.float64)
    return torch.arange(ROPE_POSITIONS, dtype=torch.float64)[:, None] * 10000.0 ** (-2 * half / ROPE_HEAD_DIM)
