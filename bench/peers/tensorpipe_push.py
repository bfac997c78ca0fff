"""torch.distributed.rpc over TensorPipe: one process pushes a tensor, another adds
it to its own. Two kinds: "push" gets an empty answer, "push_pull" gets the sum back,
as a tfd worker gets the new parameters. One line per kind and size.

usage: tensorpipe_push.py [--seconds=S] [BYTES...]
"""

import argparse
import json
import os
import statistics
import tempfile
import time

import torch
import torch.distributed.rpc as rpc
import torch.multiprocessing

SIZES = [4 << 10, 64 << 10, 1 << 20, 4 << 20, 16 << 20, 64 << 20]
sums = {}


def push(tensor):
    total = sums.setdefault(tensor.numel(), torch.zeros_like(tensor))
    total.add_(tensor)


def push_pull(tensor):
    push(tensor)
    return sums[tensor.numel()]


def steps_for(size, seconds):
    return int(min(10_000, max(10, seconds / (250e-6 + size / 1.5e9))))


def measure(kind, size, seconds):
    tensor = torch.full((size // 4,), 1e-3)
    for _ in range(5):
        rpc.rpc_sync("server", kind, args=(tensor,))
    times = []
    for _ in range(steps_for(size, seconds)):
        begin = time.perf_counter()
        rpc.rpc_sync("server", kind, args=(tensor,))
        times.append((time.perf_counter() - begin) * 1e6)
    times.sort()
    line = {
        "kind": kind.__name__,
        "bytes": size,
        "p50_us": round(statistics.median(times), 1),
        "p10_us": round(times[len(times) // 10], 1),
    }
    print(json.dumps(line), flush=True)


def run(rank, args, store):
    torch.set_num_threads(1)
    options = rpc.TensorPipeRpcBackendOptions(init_method=f"file://{store}")
    name = ["client", "server"][rank]
    rpc.init_rpc(name, rank=rank, world_size=2, rpc_backend_options=options)
    if rank == 0:
        for kind in (push, push_pull):
            for size in args.sizes:
                measure(kind, size, args.seconds)
    rpc.shutdown()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2, help="of each size")
    parser.add_argument("sizes", type=int, nargs="*", default=SIZES)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = os.path.join(folder, "store")
        torch.multiprocessing.spawn(run, (args, store), 2)


if __name__ == "__main__":
    main()
