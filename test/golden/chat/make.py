"""Makes the golden fixtures of chats: ids and assistant masks of transformers' `apply_chat_template`; run by `npm run oracles`.

    python make.py --out FOLDER

Two small tokenizers are learnt here with the tokenizers library, one of LLaMA 2's kind and one of LLaMA 3's; the templates
are those that the chat models of LLaMA 2, LLaMA 3 and ChatML publish, with `{% generation %}` put round what is learnt.
"""

import argparse
import json
import os

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast


LLAMA2 = (
    "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system_message = messages[0]['content'] %}"
    "{% else %}{% set loop_messages = messages %}{% set system_message = false %}{% endif %}"
    "{% for message in loop_messages %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{% if loop.index0 == 0 and system_message != false %}"
    "{% set content = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + message['content'] %}"
    "{% else %}{% set content = message['content'] %}{% endif %}"
    "{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}"
    "{% elif message['role'] == 'assistant' %}{% generation %}{{ ' '  + content.strip() + ' ' + eos_token }}{% endgeneration %}{% endif %}"
    "{% endfor %}"
)
LLAMA3 = (
    "{% for message in messages %}"
    "{% set head = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' %}"
    "{% if loop.index0 == 0 %}{% set head = bos_token + head %}{% endif %}"
    "{{ head }}{% if message['role'] == 'assistant' %}{% generation %}{{ message['content'] | trim + '<|eot_id|>' }}{% endgeneration %}"
    "{% else %}{{ message['content'] | trim + '<|eot_id|>' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
# With lines and indents, so that what Jinja does to the white space around tags matters.
CHATML = """{%- for message in messages %}
    {{- '<|im_start|>' + message['role'] + '\n' }}
    {%- if message['role'] == 'assistant' %}
        {%- generation %}
        {{- message['content'] + '<|im_end|>' }}
        {%- endgeneration %}
    {%- else %}
        {{- message['content'] + '<|im_end|>' }}
    {%- endif %}
    {{- '\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
{%- endif %}
"""
# A model that forgets what it thought: no prefix of a longer chat is the shorter chat.
FORGETS = CHATML.replace("{%- generation %}", "").replace("{%- endgeneration %}", "").replace(
    "message['content'] + '<|im_end|>' }}\n        \n", "(message['content'] if loop.last else 'done') + '<|im_end|>' }}\n        \n"
)

SYSTEM = {"role": "system", "content": " You are brief.\nAnswer in one line. "}
CHATS = [
    [{"role": "user", "content": "Hello there"}, {"role": "assistant", "content": "Good day"}],
    [SYSTEM, {"role": "user", "content": "  What is 2 + 2? "}, {"role": "assistant", "content": "It is 4."}],
    [SYSTEM, {"role": "user", "content": "Say it in Chinese."}, {"role": "assistant", "content": " 你好，世界 🌍 "},
     {"role": "user", "content": "\nAnd again?\n\n"}, {"role": "assistant", "content": "café — naïve\n  two lines"}],
    [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}, {"role": "assistant", "content": "d"},
     {"role": "user", "content": "e"}, {"role": "assistant", "content": "f"}],
]
TEXTS = ["Hello there, good day to you. What is 2 + 2? It is 4.", "You are brief. Answer in one line. Say it in Chinese, and again?",
         "[INST] <<SYS>>\n\n<</SYS>> [/INST] user assistant system", "你好，世界。café naïve — two lines, a b c d e f"] * 3

LLAMA3_SPLIT = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
MARKS = ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|im_start|>", "<|im_end|>"]


def special(names):
    return [AddedToken(name, special=True, normalized=False) for name in names]


def byte_level():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(LLAMA3_SPLIT), behavior="isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=360, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator(TEXTS, trainer)
    tokenizer.add_special_tokens(special(MARKS))
    return tokenizer, {"bos_token": "<|begin_of_text|>", "eos_token": "<|end_of_text|>"}


def pieces():
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    # Learnt word by word, so that no piece crosses a space.
    words = [f"▁{word}" for text in TEXTS for word in text.split(" ")]
    plain = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
    bytes_ = [f"<0x{i:02X}>" for i in range(256)]
    plain.train_from_iterator(words, trainers.BpeTrainer(vocab_size=480, special_tokens=["<unk>", "<s>", "</s>", *bytes_], show_progress=False))
    # The pieces without the trainer's own added tokens: bytes must not be marks.
    model = json.loads(plain.to_str())["model"]
    whole = json.loads(tokenizer.to_str())
    whole["model"] = {**model, "byte_fallback": True, "fuse_unk": True}
    tokenizer = Tokenizer.from_str(json.dumps(whole))
    tokenizer.add_special_tokens(special(["<unk>", "<s>", "</s>"]))
    return tokenizer, {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}


def write(path, value):
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        file.write(json.dumps(value, ensure_ascii=True, indent=1) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", required=True)
    out = parser.parse_args().out
    loaded = {}
    for name, make in (("byte-level", byte_level), ("pieces", pieces)):
        tokenizer, marks = make()
        os.makedirs(os.path.join(out, name), exist_ok=True)
        write(os.path.join(out, name, "tokenizer.json"), json.loads(tokenizer.to_str()))
        write(os.path.join(out, name, "tokenizer_config.json"), marks)
        loaded[name] = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **marks)
    templates = {"llama-2": ("pieces", LLAMA2), "llama-3": ("byte-level", LLAMA3), "chatml": ("byte-level", CHATML)}
    cases = []
    for name, (folder, template) in templates.items():
        for messages in CHATS:
            run = lambda chat, text, **more: loaded[folder].apply_chat_template(chat, chat_template=text, tokenize=True, return_dict=True, **more)
            whole = run(messages, template, return_assistant_tokens_mask=True)
            assert 0 < sum(whole["assistant_masks"]) < len(whole["input_ids"])
            prompt = run(messages[:-1], template, add_generation_prompt=True)
            cases.append({
                "template": name, "tokenizer": folder, "messages": messages, "ids": whole["input_ids"], "learnt": whole["assistant_masks"],
                "prompt": prompt["input_ids"], "text": loaded[folder].apply_chat_template(messages, chat_template=template, tokenize=False),
            })
    assert "done" in FORGETS
    write(os.path.join(out, "cases.json"), {"templates": {k: t for k, (_, t) in templates.items()}, "forgets": FORGETS, "cases": cases})


if __name__ == "__main__":
    main()
