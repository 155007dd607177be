"""Documents packed into rows must give what each gives alone in a row of its own, positions starting again at 0.

The truth is made from the separate rows (float64). The same rows are then run packed, with a block-diagonal mask
handed to transformers, and must agree: so the fixture rests on two ways of computing it.
"""

import os

import numpy as np
import torch
import torch.nn.functional as F

from wide import norm_wise, precision

IGNORE = -100


def _documents(lengths, vocab, random):
    """One row of documents: ids, and labels of which some are ignored; a document never predicts the next one."""
    row, start = [], 0
    for length in lengths:
        ids = torch.from_numpy(random.randint(0, vocab, size=(length,)))
        ignored = torch.from_numpy(random.random_sample(length) < 0.15)
        labels = torch.where(ignored, torch.tensor(IGNORE), ids)
        targets = torch.cat([labels[1:], torch.tensor([IGNORE])])
        row.append({"start": start, "ids": ids, "targets": targets})
        start += length
    return row


def _nll(logits, targets):
    """Sum of the negative log-likelihoods of the targets that count, and their number."""
    return F.cross_entropy(logits, targets, ignore_index=IGNORE, reduction="sum"), int((targets != IGNORE).sum())


def _packed_logits(model, ids, positions, segments, window):
    """transformers on whole rows: additive mask [B, 1, T, T], causal, inside one document and inside the window."""
    T = ids.shape[1]
    behind = torch.arange(T)[:, None] - torch.arange(T)[None]
    seen = (behind >= 0) & (segments[:, :, None] == segments[:, None, :])
    if window:
        seen &= behind < window
    mask = torch.where(seen, 0.0, torch.finfo(torch.float64).min).double()[:, None]
    return model(input_ids=ids, position_ids=positions, attention_mask=mask, use_cache=False).logits


def write(entry, model, random, folder, write_json, save):
    os.makedirs(folder, exist_ok=True)
    window = getattr(model.config, "sliding_window", None)
    rows = [_documents(lengths, model.config.vocab_size, random) for lengths in entry["rows"]]
    with precision(torch.float64):
        documents, logits, total, count = [], [], 0.0, 0
        for r, row in enumerate(rows):
            parts = []
            for d, document in enumerate(row):
                part = model(input_ids=document["ids"][None], use_cache=False).logits[0]
                nll, targets = _nll(part, document["targets"])
                total, count = total + nll, count + targets
                parts.append(part)
                documents.append({
                    "row": r, "segment": d, "start": document["start"], "length": len(document["ids"]),
                    "inputIds": document["ids"].tolist(), "targets": document["targets"].tolist(),
                    "counted": targets, "nll": nll.item(), "loss": nll.item() / targets if targets else None,
                })
            logits.append(torch.cat(parts))
        logits = torch.stack(logits)
        loss = total / count
        named = dict(model.named_parameters())
        gradients = dict(zip(named, torch.autograd.grad(loss, list(named.values()))))

        ids = torch.stack([torch.cat([d["ids"] for d in row]) for row in rows])
        targets = torch.stack([torch.cat([d["targets"] for d in row]) for row in rows])
        segments = torch.tensor([np.repeat(range(len(l)), l).tolist() for l in entry["rows"]])
        positions = torch.tensor([[p for length in l for p in range(length)] for l in entry["rows"]])
        again = _packed_logits(model, ids, positions, segments, window)
        whole, _ = _nll(again.flatten(0, 1), targets.flatten())
        packed_gradients = dict(zip(named, torch.autograd.grad(whole / count, list(named.values()))))
    distance = {
        "logits": norm_wise(again, logits),
        "gradientsWorst": max(norm_wise(packed_gradients[k], gradients[k]) for k in named),
    }
    assert max(distance.values()) < 1e-12, f"{entry['name']}: packed and separate rows differ: {distance}"
    with precision(torch.float64), torch.no_grad():
        blind = model(input_ids=ids, use_cache=False).logits
    assert norm_wise(blind, logits) > 1e-2, f"{entry['name']}: documents that see each other would not show"

    save({"logits": logits}, os.path.join(folder, "logits.safetensors"))
    if entry["gradients"]:
        save(gradients, os.path.join(folder, "gradients.safetensors"))
    write_json(os.path.join(folder, "case.json"), {
        "name": entry["name"],
        "what": "documents packed into rows give what they give alone",
        "base": entry["base"],
        "batch": len(rows),
        "tokens": ids.shape[1],
        "ignoreIndex": IGNORE,
        "inputIds": ids.tolist(),
        "targets": targets.tolist(),
        "positions": positions.tolist(),
        "segments": segments.tolist(),
        "counted": count,
        "loss": loss.item(),
        "gradNorm": torch.sqrt(sum(g.square().sum() for g in gradients.values())).item(),
        "documents": documents,
        "info": {"packedAgainstSeparate": distance},
    })
