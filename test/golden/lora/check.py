"""Opens what scion writes with PEFT and transformers: `python check.py --made FOLDER`, FOLDER being what write.ts made.

For every case the logits of the base under scion's adapter folder (PEFT) are held against those of scion's merged folder
(transformers alone), in float32: two programs, two files, one model. Fails where they differ or where the adapter does nothing.
"""

import argparse
import json
import os
import warnings

import numpy as np
import torch
import transformers
from peft import PeftModel
from transformers import AutoModelForCausalLM

HERE = os.path.dirname(os.path.abspath(__file__))
LIMIT = 1e-5  # float32 rounding over two layers; merged and unmerged products round differently


def opened(folder):
    return AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32).eval()


def logits(model, ids):
    with torch.no_grad():
        return model(input_ids=ids, use_cache=False).logits.double()


def norm_wise(found, truth):
    return (torch.linalg.vector_norm(found - truth) / torch.linalg.vector_norm(truth)).item()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--made", required=True)
    made = parser.parse_args().made
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    warnings.simplefilter("ignore")
    with open(os.path.join(made, "cases.json"), encoding="utf-8") as file:
        cases = json.load(file)
    worst, faults = 0.0, []
    for case in cases:
        base = os.path.join(HERE, "..", "llama", case["base"])
        plain = opened(base)
        ids = torch.from_numpy(np.random.RandomState(1).randint(0, plain.config.vocab_size, size=(2, 17)))
        before = logits(plain, ids)
        under = logits(PeftModel.from_pretrained(plain, os.path.join(made, case["name"], "adapter")).eval(), ids)
        merged = logits(opened(os.path.join(made, case["name"], "merged")), ids)
        error, change = norm_wise(merged, under), norm_wise(under, before)
        print(f"{case['name']}: merged against adapter {error:.1e}, the adapter moves the logits by {change:.2f}")
        worst = max(worst, error)
        if not error <= LIMIT or not change > 1e-2:
            faults.append(case["name"])
    print(json.dumps({"cases": len(cases), "worst": worst, "limit": LIMIT, "faults": faults}))
    raise SystemExit(1 if faults else 0)


if __name__ == "__main__":
    main()
