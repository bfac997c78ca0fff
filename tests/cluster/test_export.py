"""An export is opened by the tools of others."""

import json
import os
import pathlib
import subprocess

import numpy
import pytest
from safetensors.numpy import load_file

from records import make_records

torch = pytest.importorskip("torch", reason="python3-torch")

# What bench/setup-peers installs.
PEERS = pathlib.Path(
    os.environ.get("TFD_CACHE_DIR", pathlib.Path.home() / ".cache/tfd"), "peers"
)


@pytest.mark.parametrize("model", ["linear", "mlp", "cnn"])
def test_pytorch_and_safetensors_see_the_same_model(programs, spec_file, model):
    spec = spec_file(model=f"{{builtin: {model}, classes: 4}}", stop="{epochs: 1}")
    result = programs.tfd("run", spec)
    assert result.returncode == 0, result.stderr
    export = programs.folder / "storage" / "export"
    result = programs.tfd("predict", export, "data/test-features", "-o", "p.csv")
    assert result.returncode == 0, result.stderr

    module = torch.jit.load(str(export / "model.pt"))
    module.eval()
    tensors = load_file(export / "model.safetensors")
    state = {name: tensor.numpy() for name, tensor in module.state_dict().items()}
    assert state.keys() == tensors.keys()
    for name, tensor in tensors.items():
        numpy.testing.assert_array_equal(tensor, state[name])

    description = json.loads((export / "model.json").read_text())
    shape = description["inputs"][0]["shape"]
    images, _ = make_records(500, seed=2)
    records = torch.tensor(images, dtype=torch.float32).reshape(-1, *shape) / 255
    with torch.no_grad():
        probabilities = torch.softmax(module(records), dim=1)
    top, labels = probabilities.max(dim=1)
    lines = (programs.folder / "p.csv").read_text().splitlines()[1:]
    predicted = [line.split(",") for line in lines]
    assert [int(row[1]) for row in predicted] == labels.tolist()
    numpy.testing.assert_allclose(
        [float(row[2]) for row in predicted], top.numpy(), rtol=1e-4, atol=1e-5
    )


@pytest.fixture
def batch_norm_model(programs):
    """A scripted module with running statistics."""
    torch.manual_seed(1)
    module = torch.nn.Sequential(
        torch.nn.Flatten(),
        torch.nn.Linear(64, 16),
        torch.nn.BatchNorm1d(16),
        torch.nn.ReLU(),
        torch.nn.Linear(16, 4),
    )
    torch.jit.script(module).save(str(programs.folder / "net.pt"))
    return "{torchscript: net.pt, classes: 4}"


@pytest.mark.parametrize("strategy", ["parameter_server", "allreduce"])
def test_batch_norms_statistics_are_trained_resumed_and_exported(
    programs, spec_file, batch_norm_model, strategy
):
    tasks = "{worker: {count: 2}}"
    if strategy == "parameter_server":
        tasks = "{ps: {count: 2, cpus: 0.5}, worker: {count: 2}}"
    spec = spec_file(
        model=batch_norm_model, strategy=strategy, tasks=tasks, deterministic="true"
    )
    states = []
    for name, runs in (("whole", [[]]), ("parts", [["stop.epochs=1"], []])):
        for number, changes in enumerate(runs):
            flags = ["--resume"] if number > 0 else []
            for change in [f"storage={name}", *changes]:
                flags += ["--set", change]
            result = programs.tfd("run", spec, "--json", *flags)
            assert result.returncode == 0, result.stderr
        assert json.loads(result.stdout)["metrics"]["validation_accuracy"] > 0.95
        export = programs.folder / name / "export"
        module = torch.jit.load(str(export / "model.pt"))
        states.append({k: v.numpy() for k, v in module.state_dict().items()})
        for key, tensor in load_file(export / "model.safetensors").items():
            numpy.testing.assert_array_equal(tensor, states[-1][key])
    # 32 steps an epoch, in each of which slot 0 has a batch.
    assert states[0]["2.num_batches_tracked"] == 3 * 32
    assert abs(states[0]["2.running_mean"]).max() > 0
    for key, tensor in states[0].items():
        numpy.testing.assert_array_equal(tensor, states[1][key])


@pytest.mark.peers
def test_pytorch_2_gives_the_same_outputs(programs, spec_file, batch_norm_model):
    result = programs.tfd("run", spec_file(model=batch_norm_model))
    assert result.returncode == 0, result.stderr
    export = programs.folder / "storage" / "export" / "model.pt"
    images, _ = make_records(500, seed=2)
    numpy.save(programs.folder / "records.npy", images.astype("float32") / 255)
    script = (
        "import numpy, sys, torch\n"
        "assert torch.__version__.startswith('2.')\n"
        "records = torch.from_numpy(numpy.load(sys.argv[2]))\n"
        "with torch.no_grad():\n"
        "    outputs = torch.jit.load(sys.argv[1])(records)\n"
        "numpy.save(sys.argv[3], outputs.numpy())\n"
    )
    names = [export, programs.folder / "records.npy", programs.folder / "outputs.npy"]
    subprocess.run([PEERS / "bin/python", "-c", script, *names], check=True)
    with torch.no_grad():
        ours = torch.jit.load(str(export))(torch.from_numpy(numpy.load(names[1])))
    numpy.testing.assert_allclose(
        numpy.load(names[2]), ours.numpy(), rtol=1e-4, atol=1e-5
    )
