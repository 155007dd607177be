"""Golden Parquet files: one synthetic table written by pyarrow in every codec, page version and encoding
that corpora come in, and the rows that pyarrow itself reads back from each."""

import argparse
import json
import pathlib

import pyarrow as pa
import pyarrow.parquet as pq

WORDS = ["alpha", "βήτα", "伽马", "δ", "🌍", "", "line\nbreak", 'quote"d']


def text(i):
    return " ".join(WORDS[(i * k + k) % len(WORDS)] for k in range(1, 2 + i % 7))


def flat(rows):
    return pa.table(
        {
            "id": pa.array([i * 3 for i in range(rows)], pa.int64()),
            "text": pa.array([None if i % 11 == 5 else text(i) for i in range(rows)], pa.string()),
            "category": pa.array([["news", "law", "poetry"][i % 3] for i in range(rows)], pa.string()),
            "noise": pa.array([i * 0.5 for i in range(rows)], pa.float64()),
        }
    )


def pairs(rows):
    return pa.table(
        {
            "source": pa.array(["" if i % 2 else text(i) for i in range(rows)], pa.string()),
            "target": pa.array([text(i + 1) or "none" for i in range(rows)], pa.large_string()),
            "category": pa.array([f"part{i % 5}" for i in range(rows)], pa.string()).dictionary_encode(),
        }
    )


def chats(rows):
    message = pa.struct([("role", pa.string()), ("content", pa.string())])
    talk = [
        None if i % 9 == 8 else [{"role": ["user", "assistant"][k % 2], "content": None if (i + k) % 7 == 6 else text(i + k)} for k in range(i % 4)]
        for i in range(rows)
    ]
    return pa.table({"messages": pa.array(talk, pa.list_(message)), "tags": pa.array([[["a"], []][: i % 3] for i in range(rows)], pa.list_(pa.list_(pa.string())))})


def cases():
    for codec in ["none", "snappy", "gzip", "zstd", "brotli", "lz4"]:
        yield f"flat-{codec}", flat(60), {"compression": codec, "row_group_size": 25}
    yield "flat-v2", flat(60), {"compression": "snappy", "data_page_version": "2.0", "data_page_size": 200}
    yield "flat-plain", flat(60), {"compression": "zstd", "use_dictionary": False}
    delta = {"text": "DELTA_BYTE_ARRAY", "category": "DELTA_LENGTH_BYTE_ARRAY", "id": "DELTA_BINARY_PACKED"}
    for version in ["1.0", "2.0"]:
        yield f"flat-delta-v{version[0]}", flat(60), {"compression": "gzip", "use_dictionary": False, "column_encoding": delta, "data_page_version": version}
    yield "pairs", pairs(40), {"compression": "snappy", "row_group_size": 16}
    yield "chats", chats(40), {"compression": "zstd", "row_group_size": 16}
    yield "chats-v2", chats(40), {"compression": "none", "data_page_version": "2.0", "data_page_size": 100}
    yield "empty", flat(0), {"compression": "snappy"}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=pathlib.Path, required=True)
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    rows = {}
    for name, table, options in cases():
        path = out / f"{name}.parquet"
        pq.write_table(table, path, **options)
        rows[name] = pq.read_table(path).to_pylist()
    (out / "rows.json").write_text(json.dumps(rows, ensure_ascii=False, separators=(",", ":")) + "\n", "utf-8")


if __name__ == "__main__":
    main()
