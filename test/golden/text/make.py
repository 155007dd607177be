"""Golden fixtures of src/text: small SentencePiece and tokenizers models, and what those libraries make of texts.

python make.py --out FOLDER [--texts N]     (sentencepiece 0.2.3, tokenizers 0.23.3; needs no network)

Models are trained only where this folder lacks them: training breaks ties by hash order, and what is tested is
encoding. Delete the model files of a kind to train them anew.
"""

import argparse
import io
import json
import random
import tempfile
from pathlib import Path

import sentencepiece as spm
import tokenizers
from sentencepiece import sentencepiece_model_pb2 as pb
from texts import corpus, texts
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

HERE = Path(__file__).parent

LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
# As cl100k was first written, with possessive quantifiers.
CL100K = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"

# Source code points, target code points: merging, splitting, deleting and order of length.
RULES = [("FB01", "66 69"), ("E9", "65 301"), ("61 62", "7A"), ("61 62 63 64", "20 78 20"), ("3000", "20"), ("9", "20"), ("D", "20"), ("200B", ""), ("A0", "20 20")]


def id_lists(size, seed, specials):
    """Lists of ids for decoding: bytes often, so that broken UTF-8 occurs."""
    draw = random.Random(seed)
    pools = [range(size), range(size), specials]
    return [[draw.choice(draw.choice(pools)) for _ in range(draw.choice([1, 2, 5, 12, 30]))] for _ in range(80)]


def sentencepiece_models(folder):
    """Trains the small models; name to serialized proto."""
    lines = corpus()
    rules = folder / "rules.tsv"
    rules.write_text("".join(f"{a}\t{b}\n" for a, b in RULES))

    def train(**options):
        out = io.BytesIO()
        settings = dict(model_type="bpe", vocab_size=600, character_coverage=1.0, normalization_rule_name="identity", hard_vocab_limit=False, minloglevel=2, num_threads=1)
        spm.SentencePieceTrainer.train(sentence_iterator=iter(lines), model_writer=out, **{**settings, **options})
        return out.getvalue()

    llama = dict(byte_fallback=True, split_digits=True, remove_extra_whitespaces=False, allow_whitespace_only_pieces=True)
    user = dict(user_defined_symbols=["<user>", "word", "aab", " x"])
    found = {
        "llama": train(**llama),
        "bpe-nmt-nfkc": train(normalization_rule_name="nmt_nfkc", vocab_size=420, pad_id=3, control_symbols=["<mask>"], **user),
        "bpe-bytes-user": train(byte_fallback=True, **user),
        "bpe-suffix": train(treat_whitespace_as_suffix=True, vocab_size=420),
        "unigram-rules": train(model_type="unigram", normalization_rule_name="", normalization_rule_tsv=str(rules), vocab_size=360, character_coverage=0.995, **user),
        "unigram-bytes": train(model_type="unigram", byte_fallback=True, add_dummy_prefix=False, remove_extra_whitespaces=False, vocab_size=600),
        "unigram-plain": train(model_type="unigram", vocab_size=360, remove_extra_whitespaces=False, unk_surface="<?>"),
    }
    proto = pb.ModelProto.FromString(found["unigram-rules"])
    proto.normalizer_spec.ClearField("normalization_rule_tsv")  # a path of the machine that trained
    found["unigram-rules"] = proto.SerializeToString()
    for name, source, marked in [("bpe-unused", "llama", 3), ("unigram-unused", "unigram-plain", 4)]:
        proto = pb.ModelProto.FromString(found[source])
        normal = [i for i, piece in enumerate(proto.pieces) if piece.type == 1]
        for i in normal[::marked]:
            proto.pieces[i].type = 5
        found[name] = proto.SerializeToString()
    # Equal scores: the order falls to position, as with pieces appended by a vocabulary expansion.
    proto = pb.ModelProto.FromString(found["llama"])
    for piece in proto.pieces:
        if piece.type == 1:
            piece.score = -(abs(hash_of(piece.piece)) % 3)
    found["bpe-ties"] = proto.SerializeToString()
    proto = pb.ModelProto.FromString(found["unigram-bytes"])
    proto.normalizer_spec.escape_whitespaces = False
    found["unigram-bare-spaces"] = proto.SerializeToString()
    return found


def hash_of(text):
    value = 0
    for byte in text.encode():
        value = (value * 31 + byte) % 1_000_003
    return value


def sentencepiece_cases(name, proto, inputs):
    model = spm.SentencePieceProcessor()
    model.LoadFromSerializedProto(proto)
    ids = [model.encode(text) for text in inputs]
    size = model.get_piece_size()
    some = [0, 1, 2, *range(3, min(size, 259))]
    lists = id_lists(size, hash_of(name), some)
    return {
        "vocabSize": size,
        "marks": [model.unk_id(), model.bos_id(), model.eos_id(), model.pad_id()],
        "ids": ids,
        "decoded": [model.decode(one) for one in ids],
        "idLists": lists,
        "listsDecoded": [model.decode(one) for one in lists],
    }


def byte_level(pattern, specials, normalizer=None, ignore_merges=False):
    tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    if normalizer:
        tokenizer.normalizer = normalizer
    if pattern is None:
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=True)
    else:
        split = pre_tokenizers.Split(Regex(pattern), behavior="isolated", invert=False)
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(corpus(), trainers.BpeTrainer(vocab_size=560, initial_alphabet=alphabet, show_progress=False))
    tokenizer.add_special_tokens(specials)
    return tokenizer


def merges_of(pieces):
    """All ways two pieces make a third, best score first: how SentencePiece BPE becomes tokenizers BPE."""
    index = {piece.piece: i for i, piece in enumerate(pieces)}
    found = []
    for i, piece in enumerate(pieces):
        if piece.type != 1:
            continue
        for cut in range(1, len(piece.piece)):
            left, right = piece.piece[:cut], piece.piece[cut:]
            if left in index and right in index:
                found.append((-piece.score, index[left], index[right], left, right))
    return index, [(left, right) for *_, left, right in sorted(found)]


def converted(proto, legacy):
    """LLaMA's tokenizer.json from a SentencePiece model, in the older form (Prepend) or the newer (Metaspace)."""
    index, merges = merges_of(pb.ModelProto.FromString(proto).pieces)
    tokenizer = Tokenizer(models.BPE(vocab=index, merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    if legacy:
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="\u2581", prepend_scheme="first", split=False)
    tokenizer.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(content=" ", left=1)])
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 1)])
    tokenizer.add_special_tokens([AddedToken(text, normalized=False, special=True) for text in ["<unk>", "<s>", "</s>"]])
    return tokenizer


def trained(pre, normalizer=None, decoder=None, **options):
    model_options = {key: options.pop(key) for key in ["unk_token", "fuse_unk", "byte_fallback", "continuing_subword_prefix", "end_of_word_suffix"] if key in options}
    tokenizer = Tokenizer(models.BPE(**model_options))
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre
    if decoder:
        tokenizer.decoder = decoder
    shared = {key: model_options[key] for key in ["continuing_subword_prefix", "end_of_word_suffix"] if key in model_options}
    trainer = trainers.BpeTrainer(vocab_size=420, special_tokens=["<unk>"], show_progress=False, limit_alphabet=70, **shared)
    tokenizer.train_from_iterator(corpus(), trainer)
    return tokenizer


def json_models(protos):
    """Name to a tokenizer of the tokenizers library."""
    llama3 = byte_level(LLAMA3, [AddedToken(text, special=True, normalized=False) for text in ["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"]], ignore_merges=True)
    begin = llama3.token_to_id("<|begin_of_text|>")
    template = processors.TemplateProcessing(single="<|begin_of_text|> $A", pair="<|begin_of_text|> $A $B", special_tokens=[("<|begin_of_text|>", begin)])
    llama3.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), template])
    gpt2 = byte_level(None, [AddedToken("<mask>", special=True, lstrip=True, rstrip=True, normalized=False)])
    gpt2.add_tokens([AddedToken("word", single_word=True), AddedToken("[ALWAYS]", normalized=False, rstrip=True), AddedToken("小船")])
    odd = trained(
        pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.Punctuation(behavior="merged_with_previous")]),
        normalizers.Sequence([normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase(), normalizers.Replace(Regex(r"[\-_]+"), "="), normalizers.Strip()]),
        decoders.BPEDecoder(suffix="</w>"),
        unk_token="<unk>", fuse_unk=True, end_of_word_suffix="</w>",
    )
    odd.add_tokens([AddedToken("WORD"), AddedToken("<mask>", normalized=False)])
    prefixed = trained(pre_tokenizers.WhitespaceSplit(), normalizers.NFC(), unk_token="<unk>", continuing_subword_prefix="##")
    contiguous = trained(
        pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(r"\s"), behavior="merged_with_next"), pre_tokenizers.Digits(), pre_tokenizers.Split("o", behavior="contiguous"), pre_tokenizers.Split(Regex("x*"), behavior="isolated")]),
        normalizers.NFKC(), decoders.Fuse(),
    )
    metaspace = trained(pre_tokenizers.Metaspace(prepend_scheme="always"), None, decoders.Metaspace(prepend_scheme="always"), unk_token="<unk>", fuse_unk=False)
    metaspace.add_special_tokens([AddedToken("<s>", special=True), AddedToken("</s>", special=True)])
    return {
        "llama3": llama3,
        "qwen2": byte_level(QWEN2, [AddedToken("<|im_end|>", special=True, normalized=False)], normalizers.NFC()),
        "cl100k": byte_level(CL100K, [AddedToken("<|endoftext|>", special=True)]),
        "gpt2": gpt2,
        "llama-legacy": converted(protos["llama"], True),
        "llama-new": converted(protos["llama"], False),
        "odd": odd,
        "prefixed": prefixed,
        "contiguous": contiguous,
        "metaspace": metaspace,
    }


def json_cases(name, tokenizer, inputs):
    size = max(tokenizer.get_vocab().values()) + 1

    def encode(marks, allow):
        tokenizer.encode_special_tokens = not allow
        return [tokenizer.encode(text, add_special_tokens=marks).ids for text in inputs]

    plain = encode(False, False)
    lists = id_lists(size, hash_of(name), [*range(0, min(size, 259)), *range(max(0, size - 6), size)])
    allowed = encode(False, True)
    return {
        "vocabSize": size,
        "ids": plain,
        # Only what differs, by the index of the text.
        "allowed": {str(i): ids for i, ids in enumerate(allowed) if ids != plain[i]},
        "withMarks": encode(True, False)[:4],
        "decoded": [tokenizer.decode(ids, skip_special_tokens=True) for ids in allowed],
        "idLists": lists,
        "listsDecoded": [tokenizer.decode(one, skip_special_tokens=True) for one in lists],
        "listsDecodedAll": [tokenizer.decode(one, skip_special_tokens=False) for one in lists],
    }


def write_json(path, value):
    path.write_text(json.dumps(value, ensure_ascii=True, separators=(",", ":")) + "\n")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--texts", type=int, default=60, help="random texts; more for a longer comparison")
    options = parser.parse_args()
    out = options.out
    out.mkdir(parents=True, exist_ok=True)
    inputs = texts(options.texts)
    write_json(out / "texts.json", {"info": {"sentencepiece": spm.__version__, "tokenizers": tokenizers.__version__}, "texts": inputs})
    protos = {path.name[3:-6]: path.read_bytes() for path in sorted(HERE.glob("sp-*.model"))}
    if not protos:
        with tempfile.TemporaryDirectory() as scratch:
            protos = sentencepiece_models(Path(scratch))
    for name, proto in protos.items():
        (out / f"sp-{name}.model").write_bytes(proto)
        write_json(out / f"sp-{name}.json", sentencepiece_cases(name, proto, inputs))
    files = {path.name[3:-15]: path.read_text() for path in sorted(HERE.glob("hf-*.tokenizer.json"))}
    if not files:
        files = {name: tokenizer.to_str() + "\n" for name, tokenizer in json_models(protos).items()}
        # The older spelling of merges.
        model = json.loads(files["qwen2"])
        model["model"]["merges"] = [" ".join(pair) for pair in model["model"]["merges"]]
        files["qwen2"] = json.dumps(model, ensure_ascii=False) + "\n"
    for name, text in files.items():
        (out / f"hf-{name}.tokenizer.json").write_text(text)
        write_json(out / f"hf-{name}.json", json_cases(name, Tokenizer.from_str(text), inputs))


if __name__ == "__main__":
    main()
