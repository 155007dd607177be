"""The models of the fixtures: one entry a case, with the Hugging Face config as published checkpoints spell it
(`rope_theta` and `rope_scaling` at the top level). Sizes are as small as they can be while every path that the case
is there for is really taken; make.py asserts that it is (`bites` names the config change that must alter the logits;
`clip` lies among the gradient norms of the ten steps, so that some are clipped and some are not).
"""


def _config(model_type, architecture, **fields):
    base = {
        "architectures": [architecture],
        "model_type": model_type,
        "hidden_act": "silu",
        "initializer_range": 0.02,
        "max_position_embeddings": 128,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "torch_dtype": "float32",
        "use_cache": True,
        "attention_dropout": 0.0,
    }
    return {**base, **fields}


def _llama(**fields):
    return _config("llama", "LlamaForCausalLM", **{"attention_bias": False, "mlp_bias": False, "rope_scaling": None, **fields})


CASES = [
    {
        "name": "llama-gqa",
        "what": "LLaMA 2 blocks, grouped-query attention (4 query heads on 2), untied head",
        "tokens": 17,
        "clip": 5.3,
        "config": _llama(
            hidden_size=64, intermediate_size=172, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
            vocab_size=97, rms_norm_eps=1e-5, rope_theta=10000.0, tie_word_embeddings=False,
        ),
    },
    {
        "name": "llama-tied",
        "what": "tied head, multi-head attention, sizes that no vector width divides (D 30, F 53, V 61, head size 10, T 17)",
        "tokens": 17,
        "clip": 6.0,
        "config": _llama(
            hidden_size=30, intermediate_size=53, num_hidden_layers=2, num_attention_heads=3, num_key_value_heads=3,
            vocab_size=61, rms_norm_eps=1e-6, rope_theta=10000.0, tie_word_embeddings=True,
        ),
    },
    {
        "name": "llama3-rope",
        "what": "LLaMA 3 rope scaling, explicit head_dim 32 (heads wider than the model), multi-query (2 heads on 1), tied head",
        "tokens": 33,
        "clip": 5.3,
        "bites": {"rope_scaling": None},
        "config": _llama(
            hidden_size=32, intermediate_size=40, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
            head_dim=32, vocab_size=61, rms_norm_eps=1e-5, rope_theta=10000.0, tie_word_embeddings=True,
            rope_scaling={
                "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                "original_max_position_embeddings": 32,
            },
        ),
    },
    {
        "name": "llama-linear",
        "what": "linear rope scaling (factor 4), spelled the old way (`type`), one layer",
        "tokens": 17,
        "clip": 5.0,
        "bites": {"rope_scaling": None},
        "config": _llama(
            hidden_size=32, intermediate_size=40, num_hidden_layers=1, num_attention_heads=4, num_key_value_heads=2,
            vocab_size=61, rms_norm_eps=1e-5, rope_theta=10000.0, tie_word_embeddings=True,
            rope_scaling={"type": "linear", "factor": 4.0},
        ),
    },
    {
        "name": "mistral-window",
        "what": "Mistral with a sliding window of 8 positions (the query's own included) at T 33",
        "tokens": 33,
        "clip": 3.2,
        "bites": {"sliding_window": None},
        "config": _config(
            "mistral", "MistralForCausalLM",
            hidden_size=32, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
            head_dim=8, vocab_size=61, rms_norm_eps=1e-5, rope_theta=10000.0, sliding_window=8, tie_word_embeddings=False,
        ),
    },
    {
        "name": "qwen3",
        "what": "Qwen3: RMSNorm on each query and key head before rope, explicit head_dim, tied head",
        "tokens": 17,
        "clip": 7.3,
        "config": _config(
            "qwen3", "Qwen3ForCausalLM",
            hidden_size=32, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
            head_dim=16, vocab_size=61, rms_norm_eps=1e-6, rope_theta=1000000.0, rope_scaling=None, attention_bias=False,
            use_sliding_window=False, sliding_window=None, max_window_layers=2, tie_word_embeddings=True,
        ),
    },
    {
        "name": "qwen2",
        "what": "Qwen2: biases on q, k and v, none on o",
        # A published Qwen2 has theta 1e6; at this length its slow pairs make the key bias a constant shift, which softmax
        # ignores: gradients near Adam's epsilon, where float32 noise decides the update. A small theta avoids that.
        "tokens": 17,
        "clip": 4.0,
        "config": _config(
            "qwen2", "Qwen2ForCausalLM",
            hidden_size=32, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
            vocab_size=61, rms_norm_eps=1e-6, rope_theta=100.0, rope_scaling=None,
            use_sliding_window=False, sliding_window=None, max_window_layers=2, tie_word_embeddings=False,
        ),
    },
]

# Documents packed into rows: base case, and the lengths of the documents of each row. A document of one token has
# nothing to predict; it is there because packing code forgets it.
PACKED = [
    {"name": "packed-tied", "base": "llama-tied", "rows": [[11, 6], [7, 1, 9]], "gradients": True},
    {"name": "packed-llama3", "base": "llama3-rope", "rows": [[18, 15]], "gradients": False},
    {"name": "packed-window", "base": "mistral-window", "rows": [[20, 13]], "gradients": False},
]

# Rotary tables, head size 32, positions 0..64. The lengths are chosen so that each scaling is in force.
ROPE_HEAD_DIM = 32
ROPE_POSITIONS = 65
ROPE = [
    {"name": "default", "max_position_embeddings": 128, "rope_theta": 10000.0, "rope_scaling": None},
    {"name": "linear", "max_position_embeddings": 128, "rope_theta": 10000.0,
     "rope_scaling": {"rope_type": "linear", "factor": 4.0}},
    {"name": "dynamic", "max_position_embeddings": 32, "rope_theta": 10000.0,
     "rope_scaling": {"rope_type": "dynamic", "factor": 2.0}},
    {"name": "llama3", "max_position_embeddings": 256, "rope_theta": 10000.0,
     "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                      "original_max_position_embeddings": 32}},
    {"name": "yarn", "max_position_embeddings": 128, "rope_theta": 10000.0,
     "rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32,
                      "beta_fast": 32.0, "beta_slow": 1.0}},
]
