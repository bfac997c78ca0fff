#!/usr/bin/env python3
"""A discrete-event model of one training step on many machines: tfd's sharded exchange
(each member holds a shard; chunks are pushed while backward goes on, summed, applied
and given back) beside ring all-reduce (buckets, reduce-scatter and all-gather).

usage: bench/scaling.py [--check] [--results FILE] [--svg FILE]

Prints the tables of docs/scaling.md. With --check: what the model says of the real
figures in FILE (build/bench/RESULTS.json, all-reduce over TCP), for 2 and 4 processes
on one machine. With --svg: writes the plot.

What is modelled: every member has cores, which spend a fixed time on each message and a
time in proportion to its bytes, at both ends; and a link that is full duplex, sends in
order and has a latency. A message occupies the sender's cores, its link, the receiver's
link, the receiver's cores, each first come, first served. Switches have all the
capacity and memory they need; nothing is lost; all members compute at the same speed.
"""

import argparse
import heapq
import itertools
import json
import pathlib
import statistics
import sys
from dataclasses import dataclass, replace

MIB = 1 << 20
ROOT = pathlib.Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Machine:
    """Rates in bytes/s, times in s. The defaults are what gRPC over TCP needs on an
    idle machine (docs/scaling.md)."""

    link: float
    latency: float = 25e-6
    cores: int = 4
    message: float = 32e-6  # of a core, for each message, at each end
    send: float = 3.4e9  # by one core
    receive: float = 3.4e9
    add: float = 6e9  # a gradient to the sum
    apply: float = 4e9  # the optimizer, on the chunk
    # All members on one machine share its cores, and no link is in between.
    shared: bool = False


@dataclass(frozen=True)
class Model:
    name: str
    seconds: float  # forward and backward of one step
    # (parameters, share of the computation), in the order of forward.
    layers: tuple

    def parameters(self):
        return sum(count for count, _ in self.layers)


# One V100, float32, batch 64: about 355 images/s. Parameters lie where little is
# computed: the last stage and the classifier are 17 of 25.6 million.
RESNET50 = Model(
    "resnet50",
    0.180,
    (
        (9_536, 0.03),
        (215_808, 0.17),
        (1_219_584, 0.25),
        (7_098_368, 0.36),
        (14_964_736, 0.188),
        (2_049_000, 0.002),
    ),
)
# 12 equal layers; the embeddings are the first of forward, so the last gradient.
BERT_BASE = Model(
    "bert-base",
    0.200,
    ((23_837_184, 0.01),) + ((7_087_872, 0.0825),) * 12 + ((590_592, 0.0),),
)
FORWARD_SHARE = 1 / 3
MEMBERS = (2, 4, 8, 16, 32, 64)
GBITS = (10, 25, 100)
CHUNK_BYTES = MIB
ONE_SHARD_BYTES = 64 << 10  # A total up to this is one chunk (tensor/layout.cc).
BUCKET_BYTES = 25 * MIB  # DDP's; Horovod fuses up to 64 MiB
RING_SLICES = 4
# A message of a ring costs less than one of gRPC's: about what a raw socket's does.
RING_MESSAGE_SECONDS = 8e-6


class Resource:
    """`count` servers, first come, first served."""

    def __init__(self, count=1):
        self.free = [0.0] * count

    def use(self, now, seconds):
        """When the work is done that arrives now."""
        begin = max(now, self.free[0])
        heapq.heapreplace(self.free, begin + seconds)
        return begin + seconds


class Network:
    """Events in the order of time, and messages between members."""

    def __init__(self, machine, members):
        self.machine = machine
        self.now = 0.0
        self.events = []
        self.order = itertools.count()
        pools = 1 if machine.shared else members
        cores = [Resource(machine.cores) for _ in range(pools)]
        self.cores = cores * members if machine.shared else cores
        self.out = [Resource() for _ in range(members)]
        self.into = [Resource() for _ in range(members)]

    def at(self, time, action):
        heapq.heappush(self.events, (time, next(self.order), action))

    def run(self):
        while self.events:
            self.now, _, action = heapq.heappop(self.events)
            action()
        return self.now

    def compute(self, member, seconds, then):
        self.at(self.cores[member].use(self.now, seconds), then)

    def send(self, source, target, size, extra, then):
        """`extra` is the receiver's work with it beside receiving; `then` follows."""
        machine = self.machine

        def received():
            seconds = machine.message + size / machine.receive + extra
            self.compute(target, seconds, then)

        def on_the_link():
            if machine.shared:
                self.at(self.now + machine.latency, received)
                return
            # Bytes flow through both links at once.
            wire = size / machine.link
            sent = self.out[source].use(self.now, wire)
            first = sent - wire + machine.latency
            arrival = max(first, self.into[target].free[0]) + wire
            self.into[target].free[0] = arrival
            self.at(arrival, received)

        self.compute(source, machine.message + size / machine.send, on_the_link)


def ready_times(model, unit_bytes):
    """When backward has produced each unit of `unit_bytes`, from its beginning, in the
    order of backward: [(seconds, bytes)]. A unit may hold several layers, and is ready
    with its last gradient."""
    backward = model.seconds * (1 - FORWARD_SHARE)
    units, filled, time = [], 0, 0.0
    for parameters, share in reversed(model.layers):
        left = parameters * 4
        seconds = share * backward
        # Inside a layer gradients come evenly.
        while left > 0:
            taken = min(left, unit_bytes - filled)
            time += seconds * taken / (parameters * 4)
            left -= taken
            filled += taken
            if filled == unit_bytes:
                units.append((time, filled))
                filled = 0
    if filled:
        units.append((time, filled))
    return units


def sharded_exchange(machine, members, units):
    """Seconds from the beginning of backward until every member has every parameter."""
    network = Network(machine, members)

    def start(number, size):
        owner = number % members
        arrived = [0]

        def one_arrived():
            arrived[0] += 1
            if arrived[0] == members:
                network.compute(owner, size / machine.apply, give_back)

        def give_back():
            for step in range(1, members):
                target = (owner + step) % members
                network.send(owner, target, size, 0, lambda: None)

        network.compute(owner, size / machine.add, one_arrived)
        for step in range(1, members):
            source = (owner + step) % members
            network.send(source, owner, size, size / machine.add, one_arrived)

    for number, (time, size) in enumerate(units):
        network.at(time, lambda number=number, size=size: start(number, size))
    return max(network.run(), units[-1][0])


def ring_allreduce(machine, members, buckets):
    """The same for ring all-reduce: one bucket after the other, each in slices that
    follow each other around the ring; each member applies the optimizer to everything,
    with all its cores, as data-parallel frameworks do."""
    network = Network(machine, members)
    steps = 2 * (members - 1)
    slices = [
        max(RING_SLICES, -(-size // (members * CHUNK_BYTES))) for _, size in buckets
    ]
    left = {}

    def begin(member, number):
        if number == len(buckets):
            return
        left[member, number] = slices[number]
        time = max(network.now, buckets[number][0])
        for _ in range(slices[number]):
            network.at(time, lambda: step(member, number, 0))

    def step(member, number, done):
        size = buckets[number][1] / members / slices[number]
        adds = size / machine.add if done < members - 1 else 0
        target = (member + 1) % members
        network.send(
            member, target, size, adds, lambda: arrive(target, number, done + 1)
        )

    def arrive(member, number, done):
        if done < steps:
            step(member, number, done)
            return
        left[member, number] -= 1
        if left[member, number] > 0:
            return
        for _ in range(machine.cores):
            share = buckets[number][1] / machine.cores
            network.compute(member, share / machine.apply, lambda: None)
        begin(member, number + 1)

    for member in range(members):
        begin(member, 0)
    return max(network.run(), buckets[-1][0])


def efficiency(model, machine, members, algorithm, unit_bytes):
    """(share of the step that computes, seconds of communication not hidden). The next
    forward begins when all parameters are there."""
    units = ready_times(model, unit_bytes)
    done = algorithm(machine, members, units)
    exposed = done - model.seconds * (1 - FORWARD_SHARE)
    return model.seconds / (model.seconds + exposed), exposed


def best_chunk(model, machine, members):
    """The best of some sizes of chunks, and what it gives."""
    sizes = (MIB // 4, MIB, 4 * MIB)
    results = {
        size: efficiency(model, machine, members, sharded_exchange, size)
        for size in sizes
    }
    return max(results.items(), key=lambda item: item[1][0])


def one_machine(size_bytes, processes, machine):
    """µs of an all-reduce step of allreduce_bench: all gradients are there at once."""
    shards = 1 if size_bytes <= ONE_SHARD_BYTES else processes
    chunk = min(CHUNK_BYTES, -(-size_bytes // shards))
    units = [(0.0, chunk)] * (size_bytes // chunk)
    return sharded_exchange(machine, processes, units) * 1e6


LOOPBACK = Machine(link=0, latency=40e-6, cores=2, shared=True)


def fit(measured, latency=LOOPBACK.latency):
    """The message time and the rate that give the real figures of 2 processes at the
    smallest and the largest size: {bytes: µs} in, Machine out."""
    small, large = min(measured), max(measured)
    machine = replace(LOOPBACK, latency=latency)
    for _ in range(30):
        factor = measured[small] / one_machine(small, 2, machine)
        machine = replace(machine, message=machine.message * factor**1.5)
        factor = measured[large] / one_machine(large, 2, machine)
        machine = replace(
            machine,
            send=machine.send / factor,
            receive=machine.receive / factor,
            add=machine.add / factor,
            apply=machine.apply / factor,
        )
    return machine


def measured_allreduce(results):
    """{processes: {bytes: median µs}} of tfd's all-reduce over TCP."""
    found = {}
    for line in results["results"]:
        words = line["what"].split()
        if line["benchmark"] != "allreduce" or "tcp" not in words:
            continue
        processes = int(words[2].rstrip(","))
        factor = {"KiB": 1 << 10, "MiB": MIB}[words[-1]]
        values = found.setdefault(processes, {})
        values[int(words[-2]) * factor] = statistics.median(
            tfd for tfd, _ in line["pairs"]
        )
    return found


def check(path):
    measured = measured_allreduce(json.loads(path.read_text(encoding="utf-8")))
    machine = fit(measured[2])
    print(
        f"fitted to 2 processes: {machine.message * 1e6:.0f} µs a message and end, "
        f"{machine.send / 1e9:.1f} GB/s a core to send or receive"
    )
    print("\n| processes | bytes | measured µs | model µs | model / measured |")
    print("|---|---|---|---|---|")
    for processes, values in sorted(measured.items()):
        for size, real in sorted(values.items()):
            said = one_machine(size, processes, machine)
            text = f"{size // MIB} MiB" if size >= MIB else f"{size // 1024} KiB"
            print(
                f"| {processes} | {text} | {real:,.0f} | {said:,.0f} "
                f"| {said / real:.2f} |"
            )


def simulate():
    """{(model, gbits, members): (tfd, tfd with the best chunk, ring)}, each of the
    three (efficiency, exposed seconds); the best chunk's size comes fourth."""
    rows = {}
    for model, gbits, members in itertools.product(
        (RESNET50, BERT_BASE), GBITS, MEMBERS
    ):
        print(f"{model.name}, {gbits} Gbit/s, {members} members …", file=sys.stderr)
        machine = Machine(link=gbits / 8 * 1e9 * 0.94)
        plain = efficiency(model, machine, members, sharded_exchange, CHUNK_BYTES)
        size, best = best_chunk(model, machine, members)
        raw = replace(machine, message=RING_MESSAGE_SECONDS)
        ring = efficiency(model, raw, members, ring_allreduce, BUCKET_BYTES)
        rows[model.name, gbits, members] = (plain, best, ring, size)
    return rows


def print_tables(rows):
    for model in (RESNET50, BERT_BASE):
        millions = model.parameters() / 1e6
        print(f"\n{model.name}, {millions:.1f} M parameters, {model.seconds * 1e3:.0f} ms")
        print("\n| Gbit/s | members | tfd | best chunk | ring | exposed ms: tfd, ring |")
        print("|---|---|---|---|---|---|")
        for gbits, members in itertools.product(GBITS, MEMBERS):
            plain, best, ring, size = rows[model.name, gbits, members]
            print(
                f"| {gbits} | {members} | {plain[0]:.0%} | {best[0]:.0%} "
                f"({size / MIB:g} MiB) | {ring[0]:.0%} "
                f"| {plain[1] * 1e3:.0f}, {ring[1] * 1e3:.0f} |"
            )


def svg(rows):
    """Efficiency over members; a panel for each model and link."""
    width, height, left, top = 250, 190, 50, 40
    full = (left + 3 * width + 10, top + 2 * (height + 40) + 10)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {full[0]} {full[1]}" '
        'font-family="sans-serif" font-size="11">',
        f'<rect width="{full[0]}" height="{full[1]}" fill="white"/>',
    ]
    series = (("tfd", "#1f5fbf", ""), ("ring all-reduce", "#c0392b", "5 3"))
    for number, (name, color, dash) in enumerate(series):
        x = left + number * 90
        out.append(
            f'<line x1="{x}" x2="{x + 22}" y1="14" y2="14" stroke="{color}" '
            f'stroke-width="2" stroke-dasharray="{dash}"/>'
            f'<text x="{x + 27}" y="18">{name}</text>'
        )
    for row, model in enumerate((RESNET50, BERT_BASE)):
        for column, gbits in enumerate(GBITS):
            x0, y0 = left + column * width, top + row * (height + 40)
            inner = width - 30

            def point(position, value, x0=x0, y0=y0, inner=inner):
                x = x0 + inner * position / (len(MEMBERS) - 1)
                return f"{x:.1f},{y0 + height * (1 - value):.1f}"

            out.append(
                f'<text x="{x0}" y="{y0 - 6}">{model.name}, {gbits} Gbit/s</text>'
            )
            for percent in range(0, 101, 20):
                y = y0 + height * (1 - percent / 100)
                out.append(
                    f'<line x1="{x0}" x2="{x0 + inner}" y1="{y:.1f}" y2="{y:.1f}" '
                    'stroke="#ddd"/>'
                )
                if column == 0:
                    out.append(
                        f'<text x="{x0 - 6}" y="{y + 4:.1f}" text-anchor="end">'
                        f"{percent} %</text>"
                    )
            for position, members in enumerate(MEMBERS):
                x = x0 + inner * position / (len(MEMBERS) - 1)
                out.append(
                    f'<text x="{x:.1f}" y="{y0 + height + 14}" text-anchor="middle">'
                    f"{members}</text>"
                )
            for which, (_, color, dash) in zip((0, 2), series):
                points = " ".join(
                    point(position, rows[model.name, gbits, members][which][0])
                    for position, members in enumerate(MEMBERS)
                )
                out.append(
                    f'<polyline points="{points}" fill="none" stroke="{color}" '
                    f'stroke-width="2" stroke-dasharray="{dash}"/>'
                )
    out.append("</svg>")
    return "\n".join(out) + "\n"


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true")
    parser.add_argument(
        "--results",
        type=pathlib.Path,
        default=ROOT / "build" / "bench" / "RESULTS.json",
    )
    parser.add_argument("--svg", type=pathlib.Path)
    args = parser.parse_args()
    if args.check:
        check(args.results)
        return
    rows = simulate()
    print_tables(rows)
    if args.svg:
        args.svg.write_text(svg(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
