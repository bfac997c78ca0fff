"""Images/s of PyTorch on MNIST with the models that tfd brings along
(worker/models/definition.cc): DistributedDataParallel on gloo, one thread in each
process; or, with --processes=1, one process that exchanges nothing.

usage: ddp_train.py [--processes=2] [--steps=N] cnn|lenet|mlp|resnet18

Prints {"model", "processes", "images_per_s"}. Batch 64 in each process, Adam (the
fused one, PyTorch's fastest), shuffled every epoch; the first steps do not count. Set
MALLOC_MMAP_THRESHOLD_=1073741824 and MALLOC_TRIM_THRESHOLD_=4294967296, as
bench/run does: they are worth a third of the speed.
"""

import argparse
import json
import os
import tempfile
import time

import mnist
import torch
import torch.distributed
import torch.multiprocessing
from torch import nn

BATCH = 64
WARM_UP_STEPS = 20


def conv(inputs, outputs, kernel, padding):
    # The maximum before ReLU, as in tfd: the same result for less work.
    return [
        nn.Conv2d(inputs, outputs, kernel, padding=padding),
        nn.MaxPool2d(2),
        nn.ReLU(),
    ]


class Block(nn.Module):
    """ResNet's basic block (He et al., 2016), as torchvision has it."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False),
                nn.BatchNorm2d(outputs),
            )

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        y = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(y)) + shortcut)


def resnet18():
    layers = [
        nn.Conv2d(1, 64, 7, 2, 3, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, 2, 1),
    ]
    inputs = 64
    for outputs, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        layers += [Block(inputs, outputs, stride), Block(outputs, outputs, 1)]
        inputs = outputs
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10)]
    return nn.Sequential(*layers)


def make_model(name):
    if name == "resnet18":
        return resnet18()
    if name == "mlp":
        layers = [nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 10)]
        return nn.Sequential(nn.Flatten(), *layers)
    if name == "cnn":
        layers = conv(1, 8, 3, 1) + conv(8, 16, 3, 1)
        widths = [784, 128, 10]
    else:
        layers = conv(1, 8, 5, 2) + conv(8, 24, 5, 0)
        widths = [600, 120, 84, 10]
    layers.append(nn.Flatten())
    for inputs, outputs in zip(widths, widths[1:]):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def batches(rank, processes):
    """This process's part of every epoch, without end."""
    images, labels = mnist.load()
    images = torch.from_numpy(images.copy()).unsqueeze(1)
    labels = torch.from_numpy(labels)
    generator = torch.Generator().manual_seed(1)
    while True:
        order = torch.randperm(len(labels), generator=generator)[rank::processes]
        for at in range(0, len(order) - BATCH + 1, BATCH):
            chosen = order[at : at + BATCH]
            yield images[chosen].float() / 255, labels[chosen]


def run(rank, args, store):
    torch.set_num_threads(1)
    torch.manual_seed(1)
    model = make_model(args.model)
    if args.processes > 1:
        torch.distributed.init_process_group(
            "gloo",
            init_method=f"file://{store}",
            rank=rank,
            world_size=args.processes,
        )
        model = nn.parallel.DistributedDataParallel(model)
    # Debian's PyTorch has no fused Adam yet.
    fused = {"fused": True} if int(torch.__version__.split(".")[0]) >= 2 else {}
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, **fused)
    loss_of = nn.CrossEntropyLoss()
    source = batches(rank, args.processes)
    begin = 0
    for step in range(args.steps + WARM_UP_STEPS):
        if step == WARM_UP_STEPS:
            begin = time.perf_counter()
        images, labels = next(source)
        optimizer.zero_grad()
        loss_of(model(images), labels).backward()
        optimizer.step()
    seconds = time.perf_counter() - begin
    if rank == 0:
        line = {
            "model": args.model,
            "processes": args.processes,
            "images_per_s": round(args.steps * args.processes * BATCH / seconds),
        }
        print(json.dumps(line), flush=True)
    if args.processes > 1:
        torch.distributed.destroy_process_group()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("model", choices=("cnn", "lenet", "mlp", "resnet18"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = os.path.join(folder, "store")
        torch.multiprocessing.spawn(run, (args, store), args.processes)


if __name__ == "__main__":
    main()
