"""
Expanded tokenizers as other programs read them. scion expands three bases, a small SentencePiece model trained here, LLaMA-2's where the
data folder has it, and a small byte-level one; SentencePiece, tokenizers and transformers open what it wrote and cut the same texts.
They must agree among themselves, or nothing is written; what they say goes into the fixtures as hashes of ids.

    python make.py --out FOLDER        SCION_DATA names the data folder (default ../shared/data beside the checkout)
"""

import argparse
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
import sentencepiece  # noqa: E402
import tokenizers  # noqa: E402
import transformers  # noqa: E402

sys.path.insert(0, str(Path(__file__).parent))
from texts import Dice, text  # noqa: E402

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent.parent
DATA = Path(os.environ.get("SCION_DATA", ROOT.parent / "shared" / "data"))
MARKS = ["<s>", "</s>", "<unk>", "<|im_start|>", "<|im_end|>"]
SPECIALS = ["<|im_start|>", "<|im_end|>"]


def short(value):
    return hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()[:10]


def ids_hash(ids):
    return short(",".join(map(str, ids)))


def file_hash(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def expand(base, pieces, out, *flags):
    node = ROOT / "node_modules" / ".bin" / "node"
    command = [str(node), str(ROOT / "src" / "cli" / "main.ts"), "vocab", "expand", "--base", str(base), "--pieces", str(pieces), "--out", str(out), "--json", *flags]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.strip().splitlines()[-1])


def train_small(folder):
    """A model as LLaMA's: byte-pair encoding, bytes, no normalisation; from words that dice make."""
    dice = Dice(1)
    words = ["".join("abcdefghijklmnopqrst"[dice(20) * dice(20) // 20] for _ in range(1 + dice(8))) for _ in range(300)]
    common = [chr(0x4E00 + 7 * i) for i in range(40)]
    lines = []
    for _ in range(3000):
        line = " ".join(words[dice(300) * dice(300) // 300] for _ in range(8))
        lines.append(line + "".join(common[dice(40) * dice(40) // 40] for _ in range(3)) + "  " * dice(3) + str(dice(1000)))
    # Through memory: a file's path would end up in the model.
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=model, model_type="bpe", vocab_size=700, byte_fallback=True, character_coverage=1.0,
        normalization_rule_name="identity", remove_extra_whitespaces=False, split_digits=True, allow_whitespace_only_pieces=True, num_threads=1, minloglevel=2,
    )
    (folder / "small.model").write_bytes(model.getvalue())


def small_list(path):
    """Entries as people have them: words of up to five characters, most without the steps to them, some repeated, some in old letters."""
    dice = Dice(2)
    out = []
    for i in range(600):
        length = 1 + dice(5)
        out.append("".join(chr(0x4E00 + 7 * (dice(60) * dice(60) // 60)) for _ in range(length)))
        if i % 20 == 0:
            out.append(["ing", "\u2581" + out[-1], out[0], "2024", "\u0416\u0436", "\uff0c" + out[-1]][dice(6)])
    path.write_text("".join(json.dumps({"piece": piece}) + "\n" for piece in out), encoding="utf-8")


def agreed(folder, texts):
    """The ids of SentencePiece, which every other reader must give too; and how each reads marks in text."""
    sp = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    plain = [sp.encode(one) for one in texts]
    tk = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    marked = [tk.encode(one, add_special_tokens=False).ids for one in texts]
    fast = transformers.PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    llama = transformers.LlamaTokenizer.from_pretrained(str(folder))
    slow = not llama.is_fast
    apart = {"leading": 0, "marks": 0}
    for one, a, b in zip(texts, plain, marked):
        has_mark = any(mark in one for mark in MARKS)
        if not has_mark and a != b:
            raise SystemExit(f"SentencePiece and tokenizers differ on {one!r}: {a} and {b}")
        if fast.encode(one, add_special_tokens=False) != b:
            raise SystemExit(f"PreTrainedTokenizerFast differs from tokenizers on {one!r}")
        if llama.encode(one, add_special_tokens=False) == b:
            continue
        # transformers 5 rebuilds LLaMA's tokenizer without the normaliser of tokenizer.json: a text that begins with a space, or with anything
        # behind a mark, gets no space of its own. It does so to LLaMA-2 itself; nothing in the files can turn it off.
        if slow or not (has_mark or one[0] in " \u2581"):
            raise SystemExit(f"LlamaTokenizer of transformers {transformers.__version__} differs on {one!r}: {llama.encode(one, add_special_tokens=False)} and {b}")
        apart["marks" if has_mark else "leading"] += 1
    return plain, marked, apart


def write(path, folder, texts, plain, marked, info, report):
    files = {name: file_hash(folder / name) for name in ["tokenizer.model", "tokenizer.json"] if (folder / name).exists()}
    counts = {key: report[key] for key in ["size", "added", "intermediates", "padding", "dropped"]}
    case = {
        "info": info,
        "files": files,
        "counts": counts,
        "number": len(texts),
        "texts": short("\x01".join(texts)),
        "marked": "".join(ids_hash(ids) for ids in marked),
    }
    if plain is not None:
        case["plain"] = "".join(ids_hash(ids) for ids in plain)
    path.write_text(json.dumps(case, indent=1) + "\n", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", required=True)
    out = Path(parser.parse_args().out)
    out.mkdir(parents=True, exist_ok=True)
    versions = {name: module.__version__ for name, module in [("sentencepiece", sentencepiece), ("tokenizers", tokenizers), ("transformers", transformers)]}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        train_small(folder)
        shutil.copy(folder / "small.model", out / "small.model")
        small_list(out / "small.jsonl")
        report = expand(out / "small.model", out / "small.jsonl", folder / "small", "--special", *SPECIALS, "--pad-to", "64")
        pieces = [sentencepiece.SentencePieceProcessor(model_file=str(folder / "small" / "tokenizer.model")).id_to_piece(id) for id in range(259, report["size"])]
        texts = [text(i, pieces, []) for i in range(2000)]
        plain, marked, apart = agreed(folder / "small", texts)
        write(out / "small.json", folder / "small", texts, plain, marked, {**versions, "apart": apart}, report)

        base = HERE.parent / "text" / "hf-llama3.tokenizer.json"
        (folder / "bytes-base").mkdir()
        shutil.copy(base, folder / "bytes-base" / "tokenizer.json")
        report = expand(folder / "bytes-base", out / "small.jsonl", folder / "bytes", "--special", *SPECIALS, "--pad-to", "64")
        tk = tokenizers.Tokenizer.from_file(str(folder / "bytes" / "tokenizer.json"))
        for token in json.loads(base.read_text(encoding="utf-8"))["added_tokens"]:
            if tk.token_to_id(token["content"]) != token["id"]:
                raise SystemExit(f"added token {token['content']!r} moved from {token['id']} to {tk.token_to_id(token['content'])}")
        marked = [tk.encode(one, add_special_tokens=False).ids for one in texts]
        write(out / "bytes.json", folder / "bytes", texts, None, marked, versions, report)

        tokenizer_dir = DATA / "tokenizers"
        if not (tokenizer_dir / "llama2" / "tokenizer.model").exists():
            print(f"vocab: no data in {DATA}; llama2.json stays as it is", file=sys.stderr)
            shutil.copy(HERE / "llama2.json", out / "llama2.json")
            return
        report = expand(
            tokenizer_dir / "llama2", tokenizer_dir / "chinese_sp_20k" / "chinese_sp.model", folder / "llama2", "--special", *SPECIALS, "--pad-to", "128",
        )
        sp = sentencepiece.SentencePieceProcessor(model_file=str(folder / "llama2" / "tokenizer.model"))
        pieces = [sp.id_to_piece(id) for id in range(259, report["size"])]
        documents = [[json.loads(line)["target"] for line in path.read_text(encoding="utf-8").split("\n") if line] for path in sorted((DATA / "corpora").glob("*.jsonl"))]
        texts = [text(i, pieces, documents) for i in range(5000)]
        plain, marked, apart = agreed(folder / "llama2", texts)
        write(out / "llama2.json", folder / "llama2", texts, plain, marked, {**versions, "apart": apart}, report)


main()
