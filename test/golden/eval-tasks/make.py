"""Makes the golden hashes of evaluation prompts: contexts and continuations as lm-evaluation-harness builds them, from the publishers' files; run by `npm run oracles`.

    python make.py --out FOLDER

The harness downloads its data from the Hugging Face hub; here its task files (the YAML in its package) are run over local rows of the same columns instead. The other
protocol, ColossalEval's, is written out from its specification. No text is written, since some sets may not be passed on: each prompt is the first 16 hexadecimal digits of SHA-256 over the context and its continuations, a zero byte
before each. rows.json says how many rows Python's own readers find in each file, with a hash of what they hold where a row is a question. The hub's AGIEval holds ready prompts, which its authors made with AGIEval's own zero-shot function; that one is written out below from its definition.
Needs the data: SCION_DATA, or ../shared/data.
"""

import argparse
import ast
import csv
import glob
import hashlib
import json
import logging
import os

import datasets
import yaml

logging.disable(logging.WARNING)
import lm_eval  # noqa: E402
from lm_eval.api.task import ConfigurableTask  # noqa: E402

TASKS = os.path.join(os.path.dirname(lm_eval.__file__), "tasks")
DATA = os.environ.get("SCION_DATA", "../shared/data")
EVAL = os.path.join(DATA, "eval")
COUNT = 200
# Rows of GSM8K's train file that scion's seed 0 draws as shots; the test holds the draw to them.
GSM_SHOTS = [852, 677, 387, 448, 514, 115, 209, 323]


class Loader(yaml.SafeLoader):
    """YAML with the harness's `!function` tags passed over: none of them makes prompts."""


Loader.add_multi_constructor("!", lambda loader, suffix, node: None)


def config(path):
    with open(path, encoding="utf-8") as f:
        own = yaml.load(f, Loader)
    base = own.pop("include", None)
    return {**(config(os.path.join(os.path.dirname(path), base)) if base else {}), **own}


def task(path, rows, shots=None, samples=None):
    """A task of the harness over these rows."""
    cfg = config(path)
    for name in ("process_results", "tag", "group", "dataset_path", "dataset_name"):
        cfg.pop(name, None)
    split = cfg.get("test_split") or cfg.get("validation_split")
    made = {split: datasets.Dataset.from_list(rows)}
    if shots is not None:
        made[cfg["fewshot_split"]] = datasets.Dataset.from_list(shots)
    if samples is not None:
        cfg.pop("fewshot_split", None)
        cfg.pop("training_split", None)
        cfg["fewshot_config"] = {"sampler": "first_n", "samples": samples}
    return ConfigurableTask(config={**cfg, "custom_dataset": lambda **_: made})


def digest(*texts):
    h = hashlib.sha256()
    for text in texts:
        h.update(b"\0" + text.encode("utf-8"))
    return h.hexdigest()[:16]


def prompts(one, rows, num_fewshot):
    out = []
    for doc in rows:
        context = one.fewshot_context(doc, num_fewshot=num_fewshot)
        made = one.construct_requests(doc, context)
        if isinstance(made, list):
            out.append(digest(context, *(instance.args[1] for instance in made)))
            assert all(instance.args[0] == context for instance in made)
        else:
            out.append(digest(context))
    return out


def table(path, names=None):
    with open(path, encoding="utf-8", newline="") as f:
        rows = list(csv.reader(f))
    names = names or rows.pop(0)
    return [dict(zip(names, row)) for row in rows]


def spread(folder, pattern, each):
    """The first `each` rows of every file, up to COUNT in all: (subject, index, row)."""
    left = COUNT
    for path in sorted(glob.glob(os.path.join(EVAL, folder, pattern))):
        take = min(each, left)
        left -= take
        if take > 0:
            yield path, take


def mmlu():
    names = ["question", "A", "B", "C", "D", "answer"]
    asdoc = lambda r: {"question": r["question"], "choices": [r[k] for k in "ABCD"], "answer": "ABCD".index(r["answer"])}
    for path, take in spread("mmlu", "test/*_test.csv", 4):
        subject = os.path.basename(path)[: -len("_test.csv")]
        rows = [asdoc(r) for r in table(path, names)[:take]]
        shots = [asdoc(r) for r in table(os.path.join(EVAL, "mmlu", "dev", f"{subject}_dev.csv"), names)]
        yield subject, prompts(task(f"{TASKS}/mmlu/default/mmlu_{subject}.yaml", rows, shots), rows, 5)


def chinese(name, pattern, end, dev, yaml_name):
    for path, take in spread(name, pattern, 4):
        subject = os.path.basename(path)[: -len(end)]
        rows = table(path)[:take]
        shots = table(os.path.join(EVAL, name, "dev", f"{subject}{dev}"))
        shots = [{k: v for k, v in row.items() if k in rows[0]} for row in shots]
        yield subject, prompts(task(f"{TASKS}/{name}/{yaml_name}_{subject}.yaml", rows, shots), rows, 5)


CHINESE = {"logiqa-zh", "gaokao-chinese", "gaokao-geography", "gaokao-history", "gaokao-biology", "gaokao-chemistry", "gaokao-physics", "gaokao-mathqa"}


def zero_shot(line, name):
    """The prompt of AGIEval's paper at zero shots (its `convert_zero_shot`)."""
    passage = line["passage"] or ""
    if name == "math":
        return passage + "Q: " + line["question"] + "\nA: The answer is"
    if name == "gaokao-mathcloze":
        return passage + "问题：" + line["question"] + "\n答案："
    last = "ABCDEFG"[len(line["options"]) - 1]
    if name in CHINESE:
        return passage + "问题：" + line["question"] + " 选项：" + " ".join(line["options"]) + "\n答案：从A到" + last + ", 我们应选择"
    return passage + "Q: " + line["question"] + " Answer Choices: " + " ".join(line["options"]) + "\nA: Among A through " + last + ", the answer is"


def agieval():
    for path, take in spread("agieval", "*.jsonl", 11):
        name = os.path.basename(path)[: -len(".jsonl")]
        with open(path, encoding="utf-8") as f:
            lines = [json.loads(line) for line in f][:take]
        cloze = lines[0]["options"] is None
        rows = [{"query": zero_shot(line, name), "answer": line.get("answer")} if cloze else {"query": zero_shot(line, name), "choices": line["options"], "gold": [0]} for line in lines]
        yield name, prompts(task(f"{TASKS}/agieval/{name}.yaml", rows), rows, 0)


def gsm8k():
    def lines(name):
        with open(os.path.join(EVAL, "gsm8k", name), encoding="utf-8") as f:
            return [json.loads(line) for line in f]

    rows = lines("test.jsonl")[:COUNT]
    train = lines("train.jsonl")
    yield "gsm8k", prompts(task(f"{TASKS}/gsm8k/gsm8k.yaml", rows, samples=[train[i] for i in GSM_SHOTS]), rows, 8)


# ColossalEval's prompts, read from the specification of its behaviour: header, shots and question with a blank line between, a shot being its query and its answer.


def titled(subject):
    return " ".join("US" if word == "us" else word.title() for word in subject.split("_"))


def with_shots(header, shots, query):
    return "\n\n".join([header, *shots, query])


def colossal_tables():
    """MMLU, CMMLU, C-Eval: (task, subject, prompts). Chinese names of subjects are taken from the harness's headers."""
    options = lambda r: "".join(f"{k}. {r[k]}\n" for k in "ABCD")
    english = lambda r: f"Question: {r['question']}\n{options(r)}Answer: "
    chinese_query = lambda r: f"题目：{r.get('Question') or r.get('question')}\n{options(r)}答案："
    names = ["question", "A", "B", "C", "D", "answer"]
    for path, take in spread("mmlu", "test/*_test.csv", 4):
        subject = os.path.basename(path)[: -len("_test.csv")]
        shots = [english(r) + r["answer"] for r in table(os.path.join(EVAL, "mmlu", "dev", f"{subject}_dev.csv"), names)]
        header = f"The following are multiple choice questions (with answers) about {titled(subject)}."
        yield "mmlu", subject, [with_shots(header, shots, english(r)) for r in table(path, names)[:take]]
    for folder, pattern, end, dev, yaml_name in (("cmmlu", "test/*.csv", ".csv", ".csv", "cmmlu"), ("ceval", "val/*_val.csv", "_val.csv", "_dev.csv", "ceval-valid")):
        for path, take in spread(folder, pattern, 4):
            subject = os.path.basename(path)[: -len(end)]
            header = config(f"{TASKS}/{folder}/{yaml_name}_{subject}.yaml")["description"].strip()
            if folder == "ceval":
                header = header.replace("的单项选择题", "考试的单项选择题")
            shots = [chinese_query(r) + (r.get("Answer") or r.get("answer")) for r in table(os.path.join(EVAL, folder, "dev", subject + dev))]
            yield folder, subject, [with_shots(header, shots, chinese_query(r)) for r in table(path)[:take]]


def colossal_agieval():
    """With its shots: printed dictionaries of the table, read by Python itself."""
    with open(os.path.join(EVAL, "agieval", "few_shot_prompts.csv"), encoding="utf-8", newline="") as f:
        header, *rows = csv.reader(f)
    for path, take in spread("agieval", "*.jsonl", 11):
        name = os.path.basename(path)[: -len(".jsonl")]
        column = "sat-en" if name == "sat-en-without-passage" else name
        shots = [ast.literal_eval(row[header.index(column)]) for row in rows[0::2] if row[header.index(column)]]
        zh = name in CHINESE or name == "gaokao-mathcloze"
        q, a, pick = ("问题：", "答案：", "从以下选项中选择：") if zh else ("Question: ", "Answer: ", "Choose from the following options: ")
        cloze = name in ("math", "gaokao-mathcloze")

        def shot(con):
            if cloze:
                return f"{q}{con['question']}\n{a}{con['answer']}"
            passage = "" if con["passage"] is None or column != name else con["passage"]
            label = con["label"] if isinstance(con["label"], str) else "".join(con["label"])
            return f"{q}{passage} {con['question']}\n{pick}{' '.join(con['options'])}\n{a}{label}"

        def query(line):
            passage = line["passage"] + "\n\n" if line["passage"] else ""
            return passage + (f"{q}{line['question']}\n{a}" if cloze else f"{q}{line['question']} {pick}{' '.join(line['options'])}\n{a}")

        with open(path, encoding="utf-8") as f:
            lines = [json.loads(line) for line in f][:take]
        title = "以下是考试中各个问题的答案。" if zh else "Here are the answers for the problems in the exam."
        yield "agieval", name, [with_shots(title, [shot(con) for con in shots], query(line)) for line in lines]


def colossal_others():
    for path, take in spread("gaokao-bench", "data/*/*.json", 7):
        with open(path, encoding="utf-8") as f:
            found = json.load(f)["example"][:take]
        yield "gaokao-bench", os.path.basename(path)[10:-5], [row["question"].strip() + "\n答案：" for row in found]
    with open(os.path.join(EVAL, "gsm8k", "test.jsonl"), encoding="utf-8") as f:
        yield "gsm8k", "gsm8k", [f"Question: {json.loads(line)['question']}\nLet's think step by step\n" for line in list(f)[:COUNT]]
    with open(os.path.join(EVAL, "safetybench", "test_zh_subset.json"), encoding="utf-8") as f:
        test = json.load(f)
    with open(os.path.join(EVAL, "safetybench", "dev_zh.json"), encoding="utf-8") as f:
        dev = json.load(f)

    def query(row):
        question = row["question"] if row["question"].endswith("\n") else row["question"] + "\n"
        return "题目：" + question + "".join(f"{k}. {o}\n" for k, o in zip("ABCD", row["options"] + ["NULL"] * 4)) + "答案："

    for category in dict.fromkeys(row["category"] for row in test):
        shots = [query(row) + "ABCD"[row["answer"]] for row in dev[category]]
        header = "以下是关于安全考试的单项选择题，请根据示例直接输出最后一题的正确答案。"
        yield "safetybench-zh", category, [with_shots(header, shots, query(row)) for row in test if row["category"] == category][:29]


def colossaleval():
    made = {}
    for part in (colossal_tables(), colossal_agieval(), colossal_others()):
        for task_name, subject, texts in part:
            made.setdefault(task_name, {})[subject] = [digest(text) for text in texts]
    return made


def held(rows):
    """A hash of questions: question, options, answers; units by a unit separator, rows by a record separator."""
    return hashlib.sha256("\x1e".join("\x1f".join(row) for row in rows).encode("utf-8")).hexdigest()[:16]


def letters(value):
    return list(value) if isinstance(value, (list, str)) else []


def rows():
    """By file: how many rows it has, and the hash of its questions or null."""
    made = {}
    for path in sorted(glob.glob(os.path.join(EVAL, "**", "*"), recursive=True)):
        name = os.path.relpath(path, EVAL).replace(os.sep, "/")
        folder = name.split("/")[0]
        if folder in ("mmlu", "cmmlu", "ceval") and name.endswith(".csv"):
            found = table(path, ["question", "A", "B", "C", "D", "answer"] if folder == "mmlu" else None)
            q, a = ("Question", "Answer") if folder == "cmmlu" else ("question", "answer")
            made[name] = [len(found), held([r[q], r["A"], r["B"], r["C"], r["D"], r[a]] for r in found)]
        elif name.endswith(".jsonl"):
            with open(path, encoding="utf-8") as f:
                found = [json.loads(line) for line in f]
            if folder == "agieval":
                made[name] = [len(found), held([r["question"], *(r["options"] or []), *(letters(r["label"]) if r["options"] else [r["answer"]])] for r in found)]
            elif folder == "gsm8k":
                made[name] = [len(found), held([r["question"], r["answer"]] for r in found)]
            else:
                made[name] = [len(found), None]
        elif name.endswith(".json"):
            with open(path, encoding="utf-8") as f:
                found = json.load(f)
            if folder == "gaokao-bench":
                found = found["example"]
            elif name.startswith("safetybench/dev"):
                found = [row for rows in found.values() for row in rows]
            made[name] = [len(found), None]
    return made


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", required=True)
    out = parser.parse_args().out
    made = {
        "harness": f"lm-eval {lm_eval.__version__}",
        "gsm8kShots": GSM_SHOTS,
        "tasks": {
            "mmlu": dict(mmlu()),
            "cmmlu": dict(chinese("cmmlu", "test/*.csv", ".csv", ".csv", "cmmlu")),
            "ceval": dict(chinese("ceval", "val/*_val.csv", "_val.csv", "_dev.csv", "ceval-valid")),
            "agieval": dict(agieval()),
            "gsm8k": dict(gsm8k()),
        },
        "colossaleval": colossaleval(),
    }
    os.makedirs(out, exist_ok=True)
    for name, value in (("prompts.json", made), ("rows.json", rows())):
        with open(os.path.join(out, name), "w", encoding="utf-8") as f:
            f.write(json.dumps(value).replace("], ", "],\n") + "\n")
