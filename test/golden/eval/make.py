"""Makes the golden fixtures of evaluation with transformers; run by `npm run oracles`.

    python make.py --out FOLDER

Small LLaMA-family models with drawn weights, a vocabulary of 600 pieces (that of ../text), and questions in English and Chinese whose texts
are made here. The truth is float64: every prompt with every continuation is a forward pass of its own, without a cache, batches or padding, so
nothing that an engine may get wrong by sharing is shared here.
"""

import argparse
import json
import os
import platform
import sys

import numpy as np
import tokenizers
import torch
import transformers

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "llama"))
from make import build, initial_weights, random_of, save, write_json  # noqa: E402
from wide import precision  # noqa: E402

BOS = 1
EOS = 2
FAMILIES = {
    "llama": {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 600, "hidden_size": 48, "intermediate_size": 80,
        "num_hidden_layers": 2, "num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 512,
        "rms_norm_eps": 1e-05, "rope_theta": 10000.0, "hidden_act": "silu", "tie_word_embeddings": False, "attention_bias": False,
        "mlp_bias": False, "bos_token_id": BOS, "eos_token_id": EOS, "initializer_range": 0.02,
    },
    "window": {
        "architectures": ["MistralForCausalLM"], "model_type": "mistral", "vocab_size": 600, "hidden_size": 32, "intermediate_size": 56,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 8, "max_position_embeddings": 512,
        "rms_norm_eps": 1e-05, "rope_theta": 10000.0, "hidden_act": "silu", "tie_word_embeddings": True, "sliding_window": 37,
        "bos_token_id": BOS, "eos_token_id": EOS, "initializer_range": 0.02,
    },
}
LETTERS = "ABCDE"
# A greedy choice counts only where rounding cannot turn it.
MARGIN = 2e-3


def questions():
    """Sums, in two languages, with four or five options; three subjects, each with a prefix of its own, and one with none."""
    random = np.random.RandomState(7)
    out = []
    words = ["one", "two", "three", "four", "five", "six", "seven"]
    for subject, language, shots, n in (("plus", "en", 3, 7), ("minus", "en", 1, 3), ("加法", "zh", 2, 5), ("bare", "en", 0, 4)):
        count = 5 if subject == "minus" else 4

        def one():
            a, b = random.randint(2, 90, 2)
            right = a + b if subject != "minus" else a - b
            options = random.permutation(np.unique([right, right + 1, right - 2, right + 10, right + 7])[:count])
            letters = list(LETTERS[:count])
            if language == "zh":
                ask, cue = f"题目：{a} 加 {b} 等于多少？\n", "答案："
            else:
                word = words[random.randint(len(words))]
                ask, cue = f"Question: the {word} of them have {a} and {b}; what is {'left' if subject == 'minus' else 'there'}?\n", "Answer:"
            body = ask + "".join(f"{l}. {o}\n" for l, o in zip(letters, options)) + cue
            return body, [str(o) for o in options], letters, letters[list(options).index(right)] if right in options else letters[0]

        space = "" if language == "zh" else " "
        examples = [one() for _ in range(shots)]
        prefix = "" if shots == 0 else f"Some questions about {subject}.\n\n" + "".join(f"{e[0]}{space}{e[3]}\n\n" for e in examples)
        for i in range(n):
            body, options, letters, answer = one()
            out.append({
                "id": f"{subject}/{i}", "subject": subject, "language": language, "prefix": prefix, "body": body, "options": options,
                "letters": letters, "answer": answer, "byLetter": [space + l for l in letters], "byText": [space + o for o in options],
                "cue": "" if i % 2 else body.split("\n")[-1],
            })
    return out


class Model:
    def __init__(self, name, encode):
        self.config = FAMILIES[name]
        self.weights = initial_weights(self.config, random_of("eval " + name))
        self.model = build(self.config, torch.float64, self.weights)
        self.encode = encode

    def logits(self, ids):
        with precision(torch.float64), torch.no_grad():
            return self.model(input_ids=torch.tensor([ids]), use_cache=False).logits[0]

    def nll(self, ids, first):
        """Sum over ids from index `first` on."""
        table = torch.log_softmax(self.logits(ids[:-1]), dim=-1)
        return -sum(table[i - 1, ids[i]].item() for i in range(first, len(ids)))

    def continuations(self, prompt, texts):
        alone = self.encode(prompt)
        all_ids = [self.encode(prompt + t) for t in texts]
        given = 0
        while given < len(alone) and all(ids[given] == alone[given] for ids in all_ids):
            given += 1
        return [{"nll": self.nll(ids, given), "tokens": len(ids) - given} for ids in all_ids]

    def greedy(self, prompt, most):
        ids = self.encode(prompt)
        new = []
        while len(new) < most:
            top = torch.topk(self.logits(ids + new)[-1], 2)
            if (top.values[0] - top.values[1]).item() < MARGIN:
                return None
            if top.indices[0].item() == EOS:
                break
            new.append(top.indices[0].item())
        return new


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    tokenizer = tokenizers.Tokenizer.from_file(os.path.join(HERE, "..", "text", "hf-llama-new.tokenizer.json"))
    encode = lambda text: [BOS] + tokenizer.encode(text, add_special_tokens=False).ids
    vocabulary = tokenizer.get_vocab()
    # A letter that is no piece is written as its byte.
    letter_ids = {l: sorted(vocabulary[p] for p in (l, "▁" + l) if p in vocabulary) or [vocabulary[f"<0x{ord(l):02X}>"]] for l in LETTERS}
    asked = questions()
    for name in FAMILIES:
        model = Model(name, encode)
        folder = os.path.join(options.out, name)
        os.makedirs(folder, exist_ok=True)
        save(model.weights, os.path.join(folder, "model.safetensors"))
        write_json(os.path.join(folder, "config.json"), model.config)
        answers = {}
        for q in asked:
            prompt = q["prefix"] + q["body"]
            last = model.logits(encode(prompt))[-1]
            target = model.continuations(prompt, [q["byLetter"][q["letters"].index(q["answer"])]])[0]
            whole = encode(prompt + q["answer"])
            answers[q["id"]] = {
                "letters": [max(last[i].item() for i in letter_ids[l]) for l in q["letters"]],
                "byLetter": model.continuations(prompt, q["byLetter"]),
                "byText": model.continuations(prompt, q["byText"]),
                "bare": model.continuations(q["cue"], q["byText"]),
                "target": target,
                "whole": {"nll": model.nll(whole, 1), "tokens": len(whole) - 1},
                "greedy": model.greedy(prompt, 9),
            }
        kept = sum(a["greedy"] is not None for a in answers.values())
        assert kept >= 8, f"{name}: only {kept} greedy answers are beyond rounding"
        spread = [max(a["letters"]) - min(a["letters"]) for a in answers.values()]
        assert min(spread) > 1e-2, f"{name}: letters that cannot be told apart"
        write_json(os.path.join(folder, "answers.json"), answers)
        print(f"{name}: written", flush=True)
    write_json(os.path.join(options.out, "questions.json"), {
        "letterIds": letter_ids,
        "questions": asked,
        "info": {"python": platform.python_version(), "torch": torch.__version__, "transformers": transformers.__version__, "tokenizers": tokenizers.__version__},
    })


if __name__ == "__main__":
    main()
