#!/usr/bin/env python3
"""Writes golden.h: what PyTorch's optimizers and schedules give.

Run with Debian's python3-torch (1.13.1):  python3 make_golden.py > golden.h
"""
import torch

COUNT = 23
STEPS = (1, 2, 3, 10, 50, 100)


def start(i):
    return ((i * 53) % 97 - 48) / 32


def gradient(t, i):
    """Exact in float32; optimizer_test.cc has the same."""
    return ((t * 37 + i * 101 + t * i) % 199 - 99) / 64


def run(make):
    p = torch.nn.Parameter(torch.tensor([start(i) for i in range(COUNT)]))
    optimizer = make([p])
    out = []
    for t in range(max(STEPS)):
        p.grad = torch.tensor([gradient(t, i) for i in range(COUNT)])
        optimizer.step()
        if t + 1 in STEPS:
            out.append([float(x) for x in p.detach()])
    return out


def rates(make, total):
    p = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([p], lr=1.0)
    schedule = make(optimizer, total)
    out = []
    for t in range(total):
        out.append(schedule.get_last_lr()[0])
        optimizer.step()
        if t + 1 < total:
            schedule.step()
    return out


def one_cycle(peak_at):
    return lambda optimizer, total: torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=0.003, total_steps=total, pct_start=peak_at,
        anneal_strategy="cos", cycle_momentum=False, div_factor=25.0,
        final_div_factor=1e4, three_phase=False)


def cosine(optimizer, total):
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] = 0.1
    return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=total)


def floats(values):
    return "{" + ", ".join(f"{x!r}" for x in values) + "}"


def main():
    optimizers = {
        "kSgd": lambda p: torch.optim.SGD(p, lr=0.05),
        "kMomentum": lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9),
        "kAdam": lambda p: torch.optim.Adam(p, lr=0.003),
        "kAdamOther": lambda p: torch.optim.Adam(
            p, lr=0.02, betas=(0.8, 0.95), eps=1e-4),
    }
    schedules = {
        "kOneCycle100": (one_cycle(0.3), 100),
        "kOneCycle37": (one_cycle(0.25), 37),
        "kOneCycle7": (one_cycle(0.9), 7),
        "kCosine50": (cosine, 50),
    }
    print("// Made by make_golden.py with PyTorch "
          f"{torch.__version__.split('+')[0]}. Do not edit.")
    print("// clang-format off")
    print("#ifndef TFD_TESTS_PS_GOLDEN_H_\n#define TFD_TESTS_PS_GOLDEN_H_")
    print("#include <vector>\n")
    print("namespace tfd::ps::golden {\n")
    print(f"inline constexpr int kCount = {COUNT};")
    print("inline const std::vector<int> kSteps = "
          f"{floats(STEPS)};\n")
    for name, make in optimizers.items():
        print(f"// Parameters after each of kSteps.\n"
              f"inline const std::vector<std::vector<double>> {name} = {{")
        for row in run(make):
            print(f"  {floats(row)},")
        print("};\n")
    for name, (make, total) in schedules.items():
        print(f"inline const std::vector<double> {name} = "
              f"{floats(rates(make, total))};\n")
    print("}  // namespace tfd::ps::golden\n\n"
          "#endif  // TFD_TESTS_PS_GOLDEN_H_")


main()
