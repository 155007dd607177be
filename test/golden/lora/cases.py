"""The cases of the LoRA fixtures. `base` is a model of ../llama, whose weights are drawn again from its name."""

SEVEN = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]

CASES = [
    {"name": "seven", "base": "llama-gqa", "what": "every linear of a layer", "tokens": 17, "rank": 3, "alpha": 5, "targets": SEVEN},
    {"name": "nine", "base": "llama-gqa", "what": "embedding and head as well", "tokens": 17, "rank": 2, "alpha": 3,
     "targets": [*SEVEN, "embed_tokens", "lm_head"], "embeddings": True},
    {"name": "rslora", "base": "llama-gqa", "what": "parts of the fused matrices; scale alpha / sqrt(r)", "tokens": 17, "rank": 5, "alpha": 2,
     "targets": ["v_proj", "q_proj", "up_proj", "down_proj"], "rslora": True},
    {"name": "saved", "base": "llama-gqa", "what": "embedding and head trained whole beside the adapter", "tokens": 17, "rank": 1, "alpha": 2,
     "targets": ["k_proj", "o_proj", "gate_proj"], "saved": ["embed_tokens", "lm_head"]},
    {"name": "tied", "base": "llama-tied", "what": "sizes that no vector width divides, a frozen tied embedding", "tokens": 17, "rank": 3, "alpha": 6,
     "targets": SEVEN},
    {"name": "biased", "base": "qwen2", "what": "projections with biases, which stay frozen", "tokens": 17, "rank": 2, "alpha": 2,
     "targets": ["q_proj", "k_proj", "v_proj"]},
]

# Chats as numbers: each document is a list of (length, learnt) stretches; what is not learnt is read only.
SFT = {
    "name": "sft", "base": "llama-gqa", "what": "packed chats, only answers learnt", "rank": 3, "alpha": 6, "targets": SEVEN,
    "rows": [
        [[(5, False), (4, True), (3, False), (6, True)], [(4, False), (2, True)]],
        [[(1, False), (1, True)], [(9, False), (3, True)], [(2, False), (5, True), (3, False)]],
    ],
}

PISSA = {"name": "pissa", "base": "llama-gqa", "rank": 4, "alpha": 8, "targets": ["q_proj", "up_proj", "down_proj"], "layer": 0}
