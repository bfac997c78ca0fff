"""An export is opened by the tools of others."""

import json

import numpy
import pytest
from safetensors.numpy import load_file

from records import make_records

torch = pytest.importorskip("torch", reason="python3-torch")


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
