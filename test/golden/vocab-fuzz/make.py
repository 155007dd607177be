"""Golden hashes of fuzzed encodings: what SentencePiece and tokenizers make of the texts of texts.ts.

python make.py --out FOLDER     (sentencepiece 0.2.3, tokenizers 0.23.3; runs texts.ts with Node 24 or newer: NODE=...)

Unigram models are asked through sentencepiece 0.2.0, which this script installs aside: 0.2.3 adds scores in another
order and, among cuts of equal score, takes another one in about one text in 200 (and in 8 of the 231 reference texts
of the models' data, made with 0.1.97). `info` tells in how many.

The texts are not kept: both sides make them from the seed. Ids and decoded texts are kept as hashes, one a block of
texts. The models that are not in the repository come from SCION_DATA (default: shared/data beside the repository);
without it their hashes are carried over. --dump NAME prints the ids of one case instead.
"""

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import sentencepiece as spm
import tokenizers

HERE = Path(__file__).parent
ROOT = HERE.parent.parent.parent
DATA = Path(os.environ.get("SCION_DATA", ROOT.parent / "shared" / "data"))
NODE = os.environ.get("NODE", str(ROOT / "node_modules" / ".bin" / "node"))
OLD = ROOT / ".cache" / "oracles" / "sentencepiece-0.2.0"
TEXT = HERE.parent / "text"
BLOCK = 500
# name, file, texts; the seed is 1 + the place in this list. Names with a slash in front lie in SCION_DATA.
CASES = [
    ("llama2", "/tokenizers/llama2/tokenizer.model", 10000),
    ("chinese_llama2_55k", "/tokenizers/chinese_llama2_55k/tokenizer.model", 10000),
    ("chinese_sp_20k", "/tokenizers/chinese_sp_20k/chinese_sp.model", 10000),
    ("tok512", "/models/stories260K/tok512.model", 10000),
    ("sp-llama", "sp-llama.model", 10000),
    ("sp-bpe-ties", "sp-bpe-ties.model", 3000),
    ("sp-bpe-unused", "sp-bpe-unused.model", 3000),
    ("sp-bpe-bytes-user", "sp-bpe-bytes-user.model", 3000),
    ("sp-bpe-nmt-nfkc", "sp-bpe-nmt-nfkc.model", 3000),
    ("sp-unigram-bytes", "sp-unigram-bytes.model", 3000),
    ("hf-llama3", "hf-llama3.tokenizer.json", 10000),
    ("hf-gpt2", "hf-gpt2.tokenizer.json", 3000),
]
UNIGRAM = ["chinese_sp_20k", "sp-unigram-bytes"]


def fuzz_texts(seed, count, pieces):
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "pieces.json"
        file.write_text(json.dumps(pieces))
        done = subprocess.run([NODE, str(HERE / "texts.ts"), str(seed), str(count), str(file)], check=True, stdout=subprocess.PIPE)
    # A half of a surrogate pair counts as U+FFFD.
    return [re.sub("[\ud800-\udfff]", "\ufffd", text) for text in json.loads(done.stdout)]


def pieces_of(path):
    model = spm.SentencePieceProcessor(model_file=str(path))
    return [model.id_to_piece(i) for i in range(model.get_piece_size())]


def hashes(values):
    out = []
    for i in range(0, len(values), BLOCK):
        text = json.dumps(values[i : i + BLOCK], ensure_ascii=False, separators=(",", ":"))
        out.append(hashlib.sha256(text.encode()).hexdigest()[:16])
    return out


def old_ids_of(path, seed, count):
    """As `ids_of`, through sentencepiece 0.2.0."""
    if not OLD.exists():
        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(OLD), "sentencepiece==0.2.0"], check=True, stdout=2)
    env = {**os.environ, "PYTHONPATH": str(OLD)}
    done = subprocess.run([sys.executable, str(HERE / "make.py"), "--ids", str(path), str(seed), str(count)], check=True, stdout=subprocess.PIPE, env=env)
    return json.loads(done.stdout)


def ids_of(path, seed, count):
    """Ids and decoded texts."""
    if path.suffix == ".model":
        model = spm.SentencePieceProcessor(model_file=str(path))
        ids = [model.encode(text, out_type=int) for text in fuzz_texts(seed, count, pieces_of(path))]
        return ids, [model.decode(one) for one in ids]
    model = tokenizers.Tokenizer.from_file(str(path))
    # Text stays text: no mark is looked for, as scion's encode does by default.
    model.encode_special_tokens = True
    ids = [model.encode(text, add_special_tokens=False).ids for text in fuzz_texts(seed, count, pieces_of(TEXT / "sp-llama.model"))]
    return ids, [model.decode(one) for one in ids]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path)
    parser.add_argument("--dump")
    parser.add_argument("--ids", nargs=3)
    args = parser.parse_args()
    if args.ids is not None:
        path, seed, count = args.ids
        assert spm.__version__ == "0.2.0", spm.__version__
        json.dump(ids_of(Path(path), int(seed), int(count)), sys.stdout)
        return
    kept = {case["name"]: case for case in json.loads((HERE / "fuzz.json").read_text())["cases"]} if (HERE / "fuzz.json").exists() else {}
    info = {"sentencepiece": spm.__version__, "tokenizers": tokenizers.__version__, "0.2.3 differs": {}}
    cases = []
    for place, (name, file, count) in enumerate(CASES):
        path = DATA / file[1:] if file.startswith("/") else TEXT / file
        unigram = name in UNIGRAM
        if args.dump is not None:
            if args.dump == name:
                json.dump((old_ids_of if unigram else ids_of)(path, 1 + place, count), sys.stdout)
            continue
        if file.startswith("/") and not path.exists() and name in kept:
            print(f"{name}: no {path}, hashes carried over", file=sys.stderr)
            cases.append(kept[name])
            continue
        ids, decoded = (old_ids_of if unigram else ids_of)(path, 1 + place, count)
        if unigram:
            info["0.2.3 differs"][name] = sum(new != old for new, old in zip(ids_of(path, 1 + place, count)[0], ids))
        tokens = sum(len(one) for one in ids)
        cases.append({"name": name, "file": file, "seed": 1 + place, "count": count, "tokens": tokens, "ids": hashes(ids), "decoded": hashes(decoded)})
    if args.out is not None:
        args.out.mkdir(parents=True, exist_ok=True)
        lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
        (args.out / "fuzz.json").write_text(f'{{"info":{json.dumps(info)},"block":{BLOCK},"cases":[\n{lines}\n]}}\n')


main()
