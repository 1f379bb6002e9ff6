"""Search token vectors with pylate's PLAID, in its own environment: ``pylate-plaid.py JOB RESULT``."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from pylate import indexes

from etude.engine.measure import measured

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from late_passages import load, timed

K = 100


def quantile(numbers: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
    """`torch.Tensor.quantile`, which refuses more than 2**24 numbers: 5 % of 900,000 vectors of 384."""
    return torch.from_numpy(np.quantile(numbers.numpy(), shares.numpy())).to(numbers.dtype)


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.Tensor.quantile = quantile
    job = json.loads(Path(sys.argv[1]).read_text())
    documents, queries = load(Path(job["vectors"]), job["documents"], job["queries"])
    with tempfile.TemporaryDirectory() as folder:
        with measured() as built:
            index = indexes.PLAID(
                index_folder=folder,
                index_name="plaid",
                override=True,
                nbits=4,
                embedding_size=documents.vectors.shape[1],
            )
            texts = [text.numpy() for text in torch.split(documents.vectors, documents.lengths.tolist())]
            index.add_documents([str(i) for i in range(len(texts))], texts)
        size = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())

        def search(query: torch.Tensor) -> tuple[list[int], list[float]]:
            ranking = index([query.numpy()], k=K)[0]
            return [int(each["id"]) for each in ranking], [each["score"] for each in ranking]

        found, times = timed(search, queries)
    result = {"found": found, "ms": times, "bytes": size, "build_cpu_s": built["cpu_s"]}
    Path(sys.argv[2]).write_text(json.dumps({"searches": [result]}))
