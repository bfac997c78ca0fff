"""torch.distributed's all-reduce on gloo between processes of this machine; the
same output as bench/allreduce_bench.

usage: gloo_allreduce.py PROCESSES [BYTES...]
"""

import json
import os
import statistics
import sys
import tempfile
import time

import torch
import torch.distributed
import torch.multiprocessing

SECONDS_PER_SIZE = 2.0
SIZES = [4 << 10, 64 << 10, 1 << 20, 4 << 20, 64 << 20]


def steps_for(size):
    return int(min(20_000, max(20, SECONDS_PER_SIZE / (400e-6 + size / 1.0e9))))


def run(rank, processes, sizes, store):
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{store}", rank=rank, world_size=processes
    )
    for size in sizes:
        tensor = torch.full((size // 4,), 1e-3)
        times = []
        for _ in range(steps_for(size)):
            begin = time.perf_counter()
            torch.distributed.all_reduce(tensor)
            times.append((time.perf_counter() - begin) * 1e6)
        if rank == 0:
            times.sort()
            line = {
                "bytes": size,
                "p50_us": round(statistics.median(times), 1),
                "p10_us": round(times[len(times) // 10], 1),
            }
            print(json.dumps(line), flush=True)


def main():
    processes = int(sys.argv[1])
    sizes = [int(text) for text in sys.argv[2:]] or SIZES
    with tempfile.TemporaryDirectory() as folder:
        store = os.path.join(folder, "store")
        torch.multiprocessing.spawn(run, (processes, sizes, store), processes)


if __name__ == "__main__":
    main()
