"""Holds what the engine found on real questions against transformers: `python check.py --made FOLDER`, FOLDER being what write.ts made.

Every prompt with every continuation is a pass of its own in float32 (one for options of one id, whose places are one). Prints the worst distance by
task in nats and whether the likeliest option is the same; fails above the limit.
"""

import argparse
import json
import os

import torch
import transformers
from transformers import AutoModelForCausalLM

LIMIT = 1e-4  # nats an option; what is promised


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--made", required=True)
    made = parser.parse_args().made
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    with open(os.path.join(made, "cases.json"), encoding="utf-8") as file:
        cases = json.load(file)
    worst, faults, tasks = 0.0, [], {}
    model = AutoModelForCausalLM.from_pretrained(os.path.join(made, "model"), attn_implementation="eager", dtype=torch.float32).eval() if cases else None
    for case in cases:
        prompt, texts = case["prompt"], case["continued"]
        given = len(prompt)
        for ids in texts:
            given = min(given, next((i for i, (a, b) in enumerate(zip(prompt, ids)) if a != b), min(len(prompt), len(ids))))
        # A prompt that lost its middle is another text; none does at this context.
        if max(len(ids) for ids in texts) - 1 > case["positions"]:
            continue
        tables, truth = {}, []
        for ids in texts:
            key = tuple(ids[:-1])
            if key not in tables:
                with torch.no_grad():
                    tables[key] = torch.log_softmax(model(input_ids=torch.tensor([ids[:-1]]), use_cache=False).logits[0].double(), dim=-1)
            truth.append(-sum(tables[key][i - 1, ids[i]].item() for i in range(given, len(ids))))
        # The loss of many ids is their sum; what is promised is an option's.
        error = max(abs(a - b) / max(1, len(ids) - given) for a, b, ids in zip(case["nll"], truth, texts))
        row = tasks.setdefault(case["task"], {"n": 0, "worst": 0.0, "same": 0})
        row["n"] += 1
        row["worst"] = max(row["worst"], error)
        row["same"] += min(range(len(truth)), key=truth.__getitem__) == min(range(len(truth)), key=case["nll"].__getitem__)
        worst = max(worst, error)
        if not error <= LIMIT:
            faults.append(f"{case['task']} {case['id']}")
    for name, row in tasks.items():
        print(f"{name}: {row['n']} questions, worst {row['worst']:.1e} nats, the same option in {row['same']}")
    print(json.dumps({"cases": sum(r["n"] for r in tasks.values()), "worst": worst, "limit": LIMIT, "faults": faults[:20]}))
    raise SystemExit(1 if faults else 0)


if __name__ == "__main__":
    main()
