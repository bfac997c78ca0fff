"""torch.distributed's all-reduce on gloo between processes of this machine; the
same output as bench/allreduce_bench.

usage: gloo_allreduce.py [--seconds=S] PROCESSES [BYTES...]
"""

import argparse
import json
import os
import statistics
import tempfile
import time

import torch
import torch.distributed
import torch.multiprocessing

SIZES = [4 << 10, 64 << 10, 1 << 20, 4 << 20, 64 << 20]


def steps_for(size, seconds):
    return int(min(20_000, max(20, seconds / (400e-6 + size / 1.0e9))))


def run(rank, args, store):
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{store}", rank=rank, world_size=args.processes
    )
    for size in args.sizes:
        tensor = torch.full((size // 4,), 1e-3)
        times = []
        for _ in range(steps_for(size, args.seconds)):
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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2, help="of each size")
    parser.add_argument("processes", type=int)
    parser.add_argument("sizes", type=int, nargs="*", default=SIZES)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = os.path.join(folder, "store")
        torch.multiprocessing.spawn(run, (args, store), args.processes)


if __name__ == "__main__":
    main()
