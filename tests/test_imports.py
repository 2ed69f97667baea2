"""What is loaded when the runtime is used: neither torch, nor the training, nor anything for drawing or serving."""

import subprocess
import sys

import pytest

NOT_FOR_THE_RUNTIME = ("torch", "torchvision", "train", "export", "gradio", "plotly", "matplotlib", "sklearn", "timm")

ANALYZE = """
import sys
import numpy as np
from realtime_mer import ArraySource, Config, Observation, build, watch
frames = [np.full((120, 160, 3), 90 + i, np.uint8) for i in range(3)]
with build(Config()) as pipeline:
    *observations, end = watch(ArraySource(frames, [0.0, 0.01, 0.02]), pipeline)
assert all(isinstance(o, Observation) for o in observations)
assert [len(o.faces) for o in observations] == [0, 0, 0]
assert (end.time, end.events) == (0.02, ())
"""
RECORDS = """
import sys
before = set(sys.modules)
import importlib.util
path = importlib.util.find_spec("realtime_mer").submodule_search_locations[0] + "/records.py"
spec = importlib.util.spec_from_file_location("records", path)
module = importlib.util.module_from_spec(spec)
sys.modules["records"] = module
spec.loader.exec_module(module)
"""


def loaded_after(code):
    """Top-level names of the modules that are loaded once ``code`` has run in a fresh interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", code + "\nprint('MODULES', *{name.partition('.')[0] for name in sys.modules})"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.rpartition("MODULES")[2].split())


@pytest.mark.parametrize("code", ["import sys, realtime_mer", ANALYZE], ids=["import", "analyze"])
def test_the_runtime_loads_nothing_heavy(code):
    assert not loaded_after(code) & set(NOT_FOR_THE_RUNTIME)


def test_records_need_numpy_only():
    outside = loaded_after(RECORDS) - set(sys.stdlib_module_names) - {"records", "__main__", "__mp_main__"}
    startup = loaded_after("import sys") - set(sys.stdlib_module_names)  # what this environment itself loads
    assert outside - startup == {"numpy"}
