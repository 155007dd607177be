"""Makes the golden fixtures of the LLaMA family with PyTorch and transformers; run by `npm run oracles`.

    python make.py --out FOLDER [--only NAME ...]

The truth is a float64 run, rounded once to float32 in the files; the float32 run of untouched transformers is made
too, and its distance from the truth is written down for information. Every case checks itself before it is written:
the gradient against a central difference, the config by loading the folder again as a user would, and that the feature
the case is there for changes the answer. README.md beside this folder describes the files.
"""

import argparse
import copy
import json
import os
import platform
import zlib

import numpy as np
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

import packed
import rope
from cases import CASES, PACKED
from wide import directional_error, norm_wise, precision

BATCH = 2
IGNORE = -100
# One learning rate a step, given outright so that no schedule is part of what is compared: warm-up, then a slow fall.
LEARNING_RATES = [0.001, 0.002, 0.003, 0.004, 0.004, 0.0038, 0.0034, 0.0028, 0.002, 0.001]
# The share of labels ignored, by step: few targets make a large gradient norm, so some steps are clipped and some not.
IGNORED = [0.15, 0.3, 0.9, 0.15, 0.15, 0.8, 0.3, 0.15, 0.85, 0.15]
BETAS = (0.9, 0.95)
EPSILON = 1e-8
WEIGHT_DECAY = 0.1
# The case that is trained a second time, with decay on every tensor (the original's way).
DECAY_ALL = "llama-linear"
CLIP_EPSILON = 1e-6  # torch.nn.utils.clip_grad_norm_ scales by min(1, clip / (norm + 1e-6))


def write_json(path, value):
    """Indented, but arrays of plain numbers or names on one line."""
    def text(v, pad):
        if isinstance(v, dict) and v:
            rows = [f"{pad}  {json.dumps(k)}: {text(x, pad + '  ')}" for k, x in v.items()]
            return "{\n" + ",\n".join(rows) + f"\n{pad}}}"
        if isinstance(v, list) and any(isinstance(x, (dict, list)) for x in v):
            return "[\n" + ",\n".join(f"{pad}  {text(x, pad + '  ')}" for x in v) + f"\n{pad}]"
        return json.dumps(v)

    with open(path, "w", encoding="utf-8", newline="\n") as file:
        file.write(text(value, "") + "\n")


def random_of(name):
    """The legacy Mersenne Twister: NumPy promises that its stream never changes."""
    return np.random.RandomState(zlib.crc32(name.encode()))


def build(config_fields, dtype, weights=None):
    """A model in `dtype` from a config as published checkpoints spell it, with eager attention; weights by HF name."""
    with precision(dtype):
        config = AutoConfig.for_model(**copy.deepcopy(config_fields))
        config._attn_implementation = "eager"
        model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").to(dtype).eval()
        assert model.config._attn_implementation == "eager"
        assert model.model.rotary_emb.inv_freq.dtype == dtype, "the rotary table lost its precision"
        if weights is not None:
            with torch.no_grad():
                named = dict(model.named_parameters())
                assert set(named) == set(weights), set(named) ^ set(weights)
                for key, parameter in named.items():
                    parameter.copy_(weights[key])
    return model


def initial_weights(config_fields, random):
    """float32 weights by name. Fan-in scaled, so activations, attention scores and gradients have size; norm weights
    and biases are drawn too, since at their usual 1 and 0 a forgotten one would not show."""
    weights = {}
    for key, parameter in build(config_fields, torch.float32).named_parameters():
        noise = random.standard_normal(tuple(parameter.shape))
        if key.endswith("norm.weight"):
            value = 1.0 + 0.2 * noise
        elif key.endswith("bias"):
            value = 0.3 * noise
        elif key.endswith("embed_tokens.weight"):
            # Tied, it is the head too: scores of order 1 want fan-in scaling.
            value = noise * (parameter.shape[1] ** -0.5 * 1.5 if config_fields["tie_word_embeddings"] else 0.5)
        else:
            value = noise * parameter.shape[1] ** -0.5
        weights[key] = torch.from_numpy(value.astype(np.float32))
    return weights


def draw_batch(random, vocab, tokens, ignored):
    """Ids and labels [B, T] as transformers takes them (it shifts by one itself); a share of the labels ignored, and
    always the beginning of the second row (a prompt that is not trained on)."""
    ids = random.randint(0, vocab, size=(BATCH, tokens))
    labels = np.where(random.random_sample(ids.shape) < ignored, IGNORE, ids)
    labels[1, : tokens // 4] = IGNORE
    return torch.from_numpy(ids), torch.from_numpy(labels)


def shifted(labels):
    """The target of position t is the label of t + 1; the last position has none."""
    return torch.cat([labels[:, 1:], torch.full_like(labels[:, :1], IGNORE)], dim=1)


def decays(key, parameter):
    """scion's default: matrices of the layers, not the embedding, the head, norms and biases."""
    return parameter.ndim >= 2 and not key.startswith(("model.embed_tokens", "lm_head"))


def run(config_fields, weights, batches, clip, dtype, decayed=decays):
    """Logits, loss and gradients of the first batch, then ten AdamW steps over all of them."""
    model = build(config_fields, dtype, weights)
    named = dict(model.named_parameters())
    groups = [
        {"params": [p for k, p in named.items() if decayed(k, p)], "weight_decay": WEIGHT_DECAY},
        {"params": [p for k, p in named.items() if not decayed(k, p)], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=0.0, betas=BETAS, eps=EPSILON, foreach=False)
    result = {"losses": [], "gradNorms": []}
    with precision(dtype):
        for step, (ids, labels) in enumerate(batches):
            optimizer.zero_grad()
            output = model(input_ids=ids, labels=labels, use_cache=False)
            assert output.loss.dtype == dtype and output.logits.dtype == dtype
            output.loss.backward()
            if step == 0:
                result["logits"] = output.logits.detach().clone()
                result["gradients"] = {k: p.grad.clone() for k, p in named.items()}
            norm = torch.nn.utils.clip_grad_norm_(named.values(), clip)
            for group in optimizer.param_groups:
                group["lr"] = LEARNING_RATES[step]
            optimizer.step()
            result["losses"].append(output.loss.item())
            result["gradNorms"].append(norm.item())
    result["trained"] = {k: p.detach().clone() for k, p in named.items()}
    return result


def mistaken_training(case, weights, batches, trained):
    """How far (worst tensor, norm-wise) plausible mistakes move the trained weights: what a tolerance must stay below."""
    wrong = {
        "noClip": run(case["config"], weights, batches, float("inf"), torch.float64),
        "decayMatrices": run(case["config"], weights, batches, case["clip"], torch.float64, lambda k, p: p.ndim >= 2),
        "decayNothing": run(case["config"], weights, batches, case["clip"], torch.float64, lambda k, p: False),
    }
    return {name: max(norm_wise(r["trained"][k], trained[k]) for k in trained) for name, r in wrong.items()}


def check_gradient(config_fields, weights, batch, gradients, random):
    model = build(config_fields, torch.float64, weights)

    def loss():
        with precision(torch.float64):
            return model(input_ids=batch[0], labels=batch[1], use_cache=False).loss

    named = dict(model.named_parameters())
    return directional_error(loss, list(named.values()), [gradients[k] for k in named], random)


def logits_of(config_fields, weights, ids):
    model = build(config_fields, torch.float64, weights)
    with precision(torch.float64), torch.no_grad():
        return model(input_ids=ids, use_cache=False).logits


def float32(tensors):
    return {k: v.detach().to(torch.float32).contiguous() for k, v in tensors.items()}


def save(tensors, path):
    save_file(float32(tensors), path, metadata={"format": "pt"})


def write_case(case, folder):
    os.makedirs(folder, exist_ok=True)
    random = random_of(case["name"])
    config = case["config"]
    weights = initial_weights(config, random)
    batches = [draw_batch(random, config["vocab_size"], case["tokens"], share) for share in IGNORED]
    truth = run(config, weights, batches, case["clip"], torch.float64)
    plain = run(config, weights, batches, case["clip"], torch.float32)

    # The fixture must be worth having: exact, and sensitive to what it is there for.
    directional = check_gradient(config, weights, batches[0], truth["gradients"], random)
    assert directional < 1e-7, f"{case['name']}: the gradient misses the central difference by {directional}"
    if "bites" in case:
        change = norm_wise(logits_of({**config, **case["bites"]}, weights, batches[0][0]), truth["logits"])
        assert change > 1e-2, f"{case['name']}: {case['bites']} changes the logits by {change} only"
    sizes = {k: (g.square().mean().sqrt()).item() for k, g in truth["gradients"].items()}
    assert min(sizes.values()) > 1e-5, f"{case['name']}: a gradient is too small to test anything: {sizes}"
    clipped = [norm > case["clip"] for norm in truth["gradNorms"]]
    assert 3 <= sum(clipped) <= 7, f"{case['name']}: clip {case['clip']} leaves too little of both kinds: {truth['gradNorms']}"
    margin = min(abs(norm / case["clip"] - 1) for norm in truth["gradNorms"])
    assert margin > 1e-2, f"{case['name']}: a gradient norm lies so near the clip that rounding decides: {truth['gradNorms']}"
    mistakes = mistaken_training(case, weights, batches, truth["trained"])
    everything = run(case["config"], weights, batches, case["clip"], torch.float64, lambda k, p: True)["trained"]
    mistakes["decayEverything"] = max(norm_wise(everything[k], truth["trained"][k]) for k in weights)
    assert min(mistakes.values()) > 1e-3, f"{case['name']}: a wrong optimizer would not show: {mistakes}"

    save(weights, os.path.join(folder, "model.safetensors"))
    save({"logits": truth["logits"]}, os.path.join(folder, "logits.safetensors"))
    save(truth["gradients"], os.path.join(folder, "gradients.safetensors"))
    save(truth["trained"], os.path.join(folder, "trained.safetensors"))
    if case["name"] == DECAY_ALL:
        save(everything, os.path.join(folder, "trained-decay-all.safetensors"))
    write_json(os.path.join(folder, "config.json"), config)
    written = AutoConfig.for_model(**copy.deepcopy(config)).to_diff_dict()
    written = {**written, "architectures": config["architectures"], "dtype": "float32"}
    written.pop("transformers_version", None)
    write_json(os.path.join(folder, "config.v5.json"), written)
    check_folder(folder, batches[0][0], plain["logits"])

    worst = lambda name: max(norm_wise(plain[name][k], truth[name][k]) for k in weights)
    update = max(norm_wise(plain["trained"][k] - weights[k], truth["trained"][k] - weights[k].double()) for k in weights)
    write_json(os.path.join(folder, "case.json"), {
        "name": case["name"],
        "what": case["what"],
        "batch": BATCH,
        "tokens": case["tokens"],
        "ignoreIndex": IGNORE,
        "inputIds": batches[0][0].tolist(),
        "labels": batches[0][1].tolist(),
        "targets": shifted(batches[0][1]).tolist(),
        "loss": truth["losses"][0],
        "gradNorm": truth["gradNorms"][0],
        "training": {
            "optimizer": "AdamW",
            "learningRates": LEARNING_RATES,
            "betas": list(BETAS),
            "epsilon": EPSILON,
            "weightDecay": WEIGHT_DECAY,
            "clipNorm": case["clip"],
            "clipEpsilon": CLIP_EPSILON,
            "decayed": [k for k, w in weights.items() if decays(k, w)],
            "undecayed": [k for k, w in weights.items() if not decays(k, w)],
            "losses": truth["losses"],
            "gradNorms": truth["gradNorms"],
            "clipped": clipped,
            "batches": [
                {"inputIds": ids.tolist(), "targets": shifted(labels).tolist()} for ids, labels in batches
            ],
        },
        "info": {
            "directionalError": directional,
            "smallestGradientRms": min(sizes.values()),
            "mistakesMoveTrainedBy": mistakes,
            "f32AgainstF64": {
                "logits": norm_wise(plain["logits"], truth["logits"]),
                "gradientsWorst": worst("gradients"),
                "trainedWorst": worst("trained"),
                "updateWorst": update,
                "lossesWorst": max(abs(a / b - 1) for a, b in zip(plain["losses"], truth["losses"])),
            },
        },
    })
    return {"weights": weights, "f32": plain["logits"]}


def check_folder(folder, ids, expected):
    """Either spelling of the config, loaded as a user loads a checkpoint, gives the float32 logits of the fixture."""
    weights = load_file(os.path.join(folder, "model.safetensors"))
    for name in ("config.json", "config.v5.json"):
        with open(os.path.join(folder, name), encoding="utf-8") as file:
            fields = json.load(file)
        model = build(fields, torch.float32, weights)
        with torch.no_grad():
            found = model(input_ids=ids, use_cache=False).logits
        assert torch.equal(found, expected), f"{folder}/{name} loads as another model"
    loaded = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()
    with torch.no_grad():
        found = loaded(input_ids=ids, use_cache=False).logits
    assert torch.equal(found, expected), f"{folder} does not load as the model it is"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", required=True)
    parser.add_argument("--only", nargs="*")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    transformers.utils.logging.disable_progress_bar()
    wanted = lambda name: not options.only or name in options.only
    os.makedirs(options.out, exist_ok=True)
    made = {}
    for case in CASES:
        if wanted(case["name"]) or any(wanted(p["name"]) and p["base"] == case["name"] for p in PACKED):
            made[case["name"]] = write_case(case, os.path.join(options.out, case["name"]))
            print(f"{case['name']}: written", flush=True)
    configs = {case["name"]: case["config"] for case in CASES}
    for entry in PACKED:
        if wanted(entry["name"]):
            model = build(configs[entry["base"]], torch.float64, made[entry["base"]]["weights"])
            packed.write(entry, model, random_of(entry["name"]), os.path.join(options.out, entry["name"]), write_json, save)
            print(f"{entry['name']}: written", flush=True)
    if wanted("rope"):
        rope.write(os.path.join(options.out, "rope"), write_json)
        print("rope: written", flush=True)
    write_json(os.path.join(options.out, "index.json"), {
        "cases": [case["name"] for case in CASES],
        "packed": [entry["name"] for entry in PACKED],
        "rope": "rope",
        "info": {
            "python": platform.python_version(), "torch": torch.__version__, "transformers": transformers.__version__,
            "numpy": np.__version__, "attention": "eager", "threads": 1,
        },
    })


if __name__ == "__main__":
    main()
