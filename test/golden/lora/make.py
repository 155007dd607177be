"""Makes the golden fixtures of LoRA with PyTorch, transformers and PEFT; run by `npm run oracles`.

    python make.py --out FOLDER

As for ../llama the truth is a float64 run, rounded once to float32 in the files. Each case checks itself before it is
written: the gradient against a central difference, PEFT's own merge against the adapter, that the adapter matters, and
that the folder loads again as a user would load it. ../README.md describes the files.
"""

import argparse
import copy
import json
import os
import sys

import numpy as np
import torch
import transformers
from peft import LoraConfig, PeftModel, __version__ as PEFT_VERSION, get_peft_model

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(1, os.path.join(HERE, "..", "llama"))

import importlib.util

from cases import CASES, PISSA, SFT  # this folder's: it stands first on the path


def _of_llama(name):
    """A file of ../llama under a name of its own: both folders have a `cases.py` and a `make.py`."""
    here = sys.modules.pop("cases")
    sys.path.insert(0, os.path.join(HERE, "..", "llama"))
    try:
        spec = importlib.util.spec_from_file_location(f"llama_{name}", os.path.join(HERE, "..", "llama", f"{name}.py"))
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.pop(0)
        sys.modules["cases"] = here
    return module


llama = _of_llama("make")
from wide import directional_error, norm_wise, precision

BASES = {case["name"]: case for case in llama.CASES}
IGNORE = llama.IGNORE
PREFIX = "base_model.model."


def base_of(name):
    """A base's config fields and its weights, the very numbers of ../llama/NAME/model.safetensors."""
    fields = BASES[name]["config"]
    return fields, llama.initial_weights(fields, llama.random_of(name))


def lora_config(case, **more):
    return LoraConfig(
        r=case["rank"], lora_alpha=case["alpha"], lora_dropout=0.0, target_modules=list(case["targets"]), task_type="CAUSAL_LM",
        use_rslora=case.get("rslora", False), modules_to_save=case.get("saved"), **more,
    )


def adapted(case, dtype, values=None):
    """The base under its adapter in `dtype`; `values` by PEFT's parameter name replace the start."""
    fields, weights = base_of(case["base"])
    model = llama.build(fields, dtype, weights)
    with precision(dtype):
        peft = get_peft_model(model, lora_config(case), autocast_adapter_dtype=False).to(dtype).eval()
    if values is not None:
        with torch.no_grad():
            for key, parameter in trained(peft).items():
                parameter.copy_(values[key])
    return peft


def trained(peft):
    return {k: p for k, p in peft.named_parameters() if p.requires_grad}


def file_name(key):
    """PEFT's name in a file of a parameter in memory."""
    return key.replace(".default", "").replace(".modules_to_save", "")


def draw_values(case, random):
    """float32 values of what learns. Both factors are drawn, since with B = 0 no gradient reaches A; a matrix that is
    trained whole moves away from the base's."""
    values = {}
    for key, parameter in sorted(trained(adapted(case, torch.float32)).items()):
        noise = random.standard_normal(tuple(parameter.shape))
        if "modules_to_save" in key:
            value = parameter.detach().numpy() + 0.1 * noise
        elif "lora_embedding" in key:
            value = 0.5 * noise
        else:
            value = noise * parameter.shape[1] ** -0.5
        values[key] = torch.from_numpy(value.astype(np.float32))
    return values


def save_adapter(case, values, folder):
    """The adapter as PEFT writes it."""
    peft = adapted(case, torch.float32, values)
    # Without the embeddings, which PEFT adds where they are targeted, though they are the base's own.
    peft.save_pretrained(folder, save_embedding_layers=case.get("embeddings", False))
    os.remove(os.path.join(folder, "README.md"))
    path = os.path.join(folder, "adapter_config.json")
    with open(path, encoding="utf-8") as file:
        config = json.load(file)
    # A set in PEFT, so its order is chance.
    config["target_modules"] = sorted(config["target_modules"])
    llama.write_json(path, config)


def check_folder(case, folder, ids, logits):
    """PEFT opens the folder over the untouched base and computes the same logits in float32."""
    fields, weights = base_of(case["base"])
    peft = PeftModel.from_pretrained(llama.build(fields, torch.float32, weights), folder).eval()
    with torch.no_grad():
        error = norm_wise(peft(input_ids=ids, use_cache=False).logits, logits)
    assert error < 1e-5, f"{folder} does not load as the adapter it is: {error}"


def check_merge(case, values, ids, logits):
    peft = adapted(case, torch.float64, values)
    with precision(torch.float64), torch.no_grad():
        merged = peft.merge_and_unload()
        error = norm_wise(merged(input_ids=ids, use_cache=False).logits, logits)
    assert error < 1e-12, f"{case['name']}: PEFT's merge is another model: {error}"


def spec_json(case):
    return {
        "name": case["name"], "what": case["what"], "base": case["base"], "rank": case["rank"], "alpha": case["alpha"],
        "modules": case["targets"], "rslora": case.get("rslora", False), "saved": case.get("saved", []),
    }


def finish(case, folder, values, loss_of, named, loss, extra):
    """Gradients, their checks, the adapter's files and case.json."""
    gradients = {k: p.grad.clone() for k, p in named.items()}
    random = llama.random_of(f"{case['name']}-direction")
    directional = directional_error(loss_of, list(named.values()), [gradients[k] for k in named], random)
    # Rounding of the difference itself; a float32 left inside would miss by percents (../llama/wide.py).
    assert directional < 1e-6, f"{case['name']}: the gradient misses the central difference by {directional}"
    sizes = {k: g.square().mean().sqrt().item() for k, g in gradients.items()}
    assert min(sizes.values()) > 1e-5, f"{case['name']}: a gradient is too small to test anything: {sizes}"
    save_adapter(case, values, os.path.join(folder, "adapter"))
    llama.save({file_name(k): g for k, g in gradients.items()}, os.path.join(folder, "gradients.safetensors"))
    norm = torch.sqrt(sum(g.square().sum() for g in gradients.values())).item()
    info = {"directionalError": directional, "smallestGradientRms": min(sizes.values())}
    llama.write_json(os.path.join(folder, "case.json"), {**spec_json(case), **extra, "loss": loss, "gradNorm": norm, "info": info})


def write_case(case, folder):
    os.makedirs(folder, exist_ok=True)
    random = llama.random_of(f"lora-{case['name']}")
    fields, weights = base_of(case["base"])
    values = draw_values(case, random)
    ids, labels = llama.draw_batch(random, fields["vocab_size"], case["tokens"], 0.2)
    peft = adapted(case, torch.float64, values)

    def loss_of():
        with precision(torch.float64):
            return peft(input_ids=ids, labels=labels, use_cache=False).loss

    with precision(torch.float64):
        output = peft(input_ids=ids, labels=labels, use_cache=False)
        assert output.loss.dtype == torch.float64
        output.loss.backward()
    logits = output.logits.detach()
    plain = llama.logits_of(fields, weights, ids)
    change = norm_wise(logits, plain)
    assert change > 0.05, f"{case['name']}: the adapter moves the logits by {change} only"
    check_merge(case, values, ids, logits)
    finish(case, folder, values, loss_of, trained(peft), output.loss.item(), {
        "inputIds": ids.tolist(), "targets": llama.shifted(labels).tolist(),
    })
    llama.save({"logits": logits}, os.path.join(folder, "logits.safetensors"))
    check_folder(case, os.path.join(folder, "adapter"), ids, logits)


def write_sft(case, folder):
    """Rows of packed chats; the truth comes from every chat run alone. The loss is the mean over all learnt tokens."""
    os.makedirs(folder, exist_ok=True)
    random = llama.random_of(f"lora-{case['name']}")
    vocab = base_of(case["base"])[0]["vocab_size"]
    values = draw_values(case, random)
    peft = adapted(case, torch.float64, values)
    rows, chats = [], []
    for documents in case["rows"]:
        row = []
        for stretches in documents:
            ids = random.randint(0, vocab, size=sum(n for n, _ in stretches)).tolist()
            learnt = [flag for n, flag in stretches for _ in range(n)]
            labels = [i if flag else IGNORE for i, flag in zip(ids, learnt)]
            row.append({"inputIds": ids, "targets": labels[1:] + [IGNORE]})
            chats.append((torch.tensor([ids]), torch.tensor([labels])))
        rows.append(row)
    tokens = {sum(len(d["inputIds"]) for d in row) for row in rows}
    assert len(tokens) == 1, f"rows of different lengths: {tokens}"
    counted = sum(int((labels[:, 1:] != IGNORE).sum()) for _, labels in chats)

    def loss_of():
        with precision(torch.float64):
            total = 0.0
            for ids, labels in chats:
                logits = peft(input_ids=ids, use_cache=False).logits[0, :-1]
                total = total + torch.nn.functional.cross_entropy(logits, labels[0, 1:], ignore_index=IGNORE, reduction="sum")
            return total / counted

    loss = loss_of()
    assert loss.dtype == torch.float64
    loss.backward()
    finish(case, folder, values, loss_of, trained(peft), loss.item(), {"rows": rows, "counted": counted})


def write_pissa(case, folder):
    """What is left of a base when PiSSA has begun (Meng et al. 2024), and the product that it took: signs and order of
    singular vectors are free, these two are not."""
    os.makedirs(folder, exist_ok=True)
    fields, weights = base_of(case["base"])
    # PEFT refuses to do this in float64; the truth is the float64 SVD, PEFT the witness that it is meant so.
    peft = get_peft_model(llama.build(fields, torch.float32, weights), lora_config(case, init_lora_weights="pissa"))
    out = {}
    for key, module in peft.named_modules():
        if not key.startswith(f"{PREFIX}model.layers.{case['layer']}.") or not hasattr(module, "lora_A"):
            continue
        name = key[len(PREFIX):]
        residual = module.base_layer.weight.detach()
        product = module.get_delta_weight("default").detach()
        truth = weights[f"{name}.weight"].double()
        assert norm_wise(residual + product, truth) < 1e-6, f"{name}: PiSSA loses something"
        u, s, v = torch.linalg.svd(truth, full_matrices=False)
        best = (u[:, : case["rank"]] * s[: case["rank"]]) @ v[: case["rank"]]
        assert norm_wise(product, best) < 1e-5, f"{name}: PiSSA is not the truncated SVD: {norm_wise(product, best)}"
        gap = (s[case["rank"] - 1] / s[case["rank"]]).item()
        assert gap > 1.01, f"{name}: the last singular values lie so near that rounding decides: {gap}"
        out[f"{name}.residual"] = truth - best
    llama.save(out, os.path.join(folder, "residual.safetensors"))
    llama.write_json(os.path.join(folder, "case.json"), {k: v for k, v in case.items()})


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    transformers.utils.logging.disable_progress_bar()
    os.makedirs(options.out, exist_ok=True)
    for case in CASES:
        write_case(case, os.path.join(options.out, case["name"]))
        print(f"lora/{case['name']}: written", flush=True)
    write_sft(SFT, os.path.join(options.out, SFT["name"]))
    write_pissa(PISSA, os.path.join(options.out, PISSA["name"]))
    llama.write_json(os.path.join(options.out, "index.json"), {
        "cases": [case["name"] for case in CASES], "sft": [SFT["name"]], "pissa": [PISSA["name"]],
        "info": {"torch": torch.__version__, "transformers": transformers.__version__, "peft": PEFT_VERSION, "numpy": np.__version__, "threads": 1},
    })


if __name__ == "__main__":
    main()
