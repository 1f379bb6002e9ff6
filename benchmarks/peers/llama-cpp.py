"""Decode a GGUF file by llama.cpp, called as ``llama-cpp.py JOB RESULT``; comes with the extra ``models``."""

from __future__ import annotations

import json
import statistics
import sys
import time
from pathlib import Path

from llama_cpp import Llama

PROMPT, NEW, RUNS = 32, 32, 5

job = json.loads(Path(sys.argv[1]).read_text())
# One token at a time: builds for processors that list AMX fail on several where it is not allowed.
model = Llama(job["model"], n_ctx=256, n_threads=1, n_threads_batch=1, n_batch=1, verbose=False)


def seconds() -> float:
    """CPU seconds of new tokens behind a prompt."""
    model.reset()
    for token in range(PROMPT):
        model.eval([token])
    started = time.process_time()
    for token in range(PROMPT, PROMPT + NEW):
        model.eval([token])
    return time.process_time() - started


seconds()
found = NEW / statistics.median(seconds() for _ in range(RUNS))
size = Path(job["model"]).stat().st_size / 1e6
Path(sys.argv[2]).write_text(json.dumps({"decode": found, "weights_mb": size}))
