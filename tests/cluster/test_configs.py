"""Every file in configs/ trains. (mnist.yaml, pushed.yaml, stream.yaml and those that predict have
tests of their own.)"""

import json
import os
import pathlib

import pytest

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"
NAMES = sorted(
    path.stem
    for path in CONFIGS.glob("*.yaml")
    if path.stem not in ("mnist", "pushed", "stream", "predict", "predict-images", "serve")
)


@pytest.mark.skipif("TFD_MNIST_DIR" not in os.environ, reason="needs TFD_MNIST_DIR")
@pytest.mark.parametrize("name", NAMES)
def test_a_config_trains(programs, name):
    flags = ["--set", "stop.steps=12"]
    if name == "mlp":
        flags += ["--set", "optimizer.schedule.warmup_steps=5"]
    if name == "torchscript":
        torch = pytest.importorskip("torch")
        model = torch.jit.script(
            torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 10))
        )
        programs.environment["TFD_TORCHSCRIPT"] = str(programs.folder / "net.pt")
        model.save(programs.environment["TFD_TORCHSCRIPT"])
    programs.environment["TFD_MNIST_DIR"] = os.environ["TFD_MNIST_DIR"]
    result = programs.tfd("run", CONFIGS / f"{name}.yaml", "--json", *flags)
    assert result.returncode == 0, result.stderr
    job = json.loads(result.stdout)
    assert job["state"] == "SUCCEEDED"
    assert int(job["step"]) == 12
    assert (programs.folder / "runs" / name / "export" / "model.pt").exists()
