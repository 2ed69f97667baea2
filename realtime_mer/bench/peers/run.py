"""Runs the same video through this pipeline and other tools, in turns.

Each peer runs in its own virtual environment and times its own frames, after its models are loaded. One that cannot be
installed or started is listed with the reason.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from realtime_mer.assets import cache_dir, face_model
from realtime_mer.bench.clips import Clip, make
from realtime_mer.bench.results import Result, Series, machine, series

HERE: Final = Path(__file__).parent
LIMIT: Final = 300.0  # s for one turn of one peer, loading included
OURS: Final = "realtime-mer"


@dataclass(frozen=True, slots=True)
class Peer:
    """script: file in this folder. packages: for pip; none means this project's own environment."""

    script: str
    packages: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()


def peers() -> dict[str, Peer]:
    """All peers, ours first."""
    return {
        OURS: Peer("peer_ours.py"),
        "MediaPipe Face Landmarker": Peer("peer_mediapipe.py", arguments=(str(face_model()),)),
        "OpenCV DIS, whole frames": Peer("peer_dis.py"),
        "py-feat": Peer("peer_pyfeat.py", ("py-feat==2.1.5", "av")),
        "DeepFace": Peer("peer_deepface.py", ("deepface", "tf-keras", "av")),
        "EmotiEffLib": Peer(
            "peer_emotiefflib.py", ("emotiefflib", "onnx", "onnxruntime", "opencv-python-headless", "av")
        ),
        "FER": Peer("peer_fer.py", ("fer==25.10.3", "setuptools<81", "opencv-python", "av")),
    }


def run(
    video: Path | None, rounds: int, seconds: float, only: Sequence[str], environments: Path | None, install: bool
) -> Result:
    """Sets up if requested, then measures. only: parts of names, none means all; ours always runs. seconds: of each
    peer in each round. environments: the folder of the peers' environments, in the cache by default."""
    environments = environments or cache_dir() / "peers"
    wanted = [part.lower() for part in only]
    chosen = {n: p for n, p in peers().items() if not wanted or n == OURS or any(w in n.lower() for w in wanted)}
    if install:
        for name, peer in chosen.items():
            set_up(name, peer, environments)
    return measure(chosen, video or make(Clip()), rounds, seconds, environments)


def set_up(name: str, peer: Peer, environments: Path) -> None:
    """Makes the peer's environment. pip's output goes to standard error; after a failure the peer is left out."""
    folder = environments / Path(peer.script).stem
    if not peer.packages or folder.is_dir():
        return
    print(f"installing {name}", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    subprocess.run([str(folder / "bin" / "pip"), "install", "--quiet", *peer.packages], stdout=sys.stderr, check=False)


def measure(chosen: dict[str, Peer], video: Path, rounds: int, seconds: float, environments: Path) -> Result:
    """Runs one turn each, ``rounds`` times."""
    host = machine()
    turns: dict[str, list[dict[str, Any]]] = {name: [] for name in chosen}
    facts: dict[str, Any] = {}
    for _ in range(rounds):
        for name, peer in chosen.items():
            if name in facts:
                continue  # it failed before
            answer = turn(peer, video, seconds, environments)
            if isinstance(answer, str):
                facts[name] = f"not measured: {answer}"
            else:
                turns[name].append(answer)
    lines: list[Series] = []
    for name, done in turns.items():
        if done and name not in facts:
            what, faces = f"{done[0]['version']}: {done[0]['what']}", done[-1]["faces"]
            what += "" if faces is None else f"; a face in {100 * faces:.0f} % of the frames"
            lines.append(series(name, "frames/s", what, [t["frames"] / t["wall"] for t in done]))
            cost = [1e3 * t["cpu"] / t["frames"] for t in done]
            lines.append(series(f"{name}, processor", "ms/frame", "processor time of all threads", cost))
    settings = {"video": video.name, "rounds": rounds, "seconds": seconds}
    return Result("peers", settings, facts, tuple(lines), host)


def turn(peer: Peer, video: Path, seconds: float, environments: Path) -> dict[str, Any] | str:
    """The peer's output, or the reason why there is none."""
    python = environments / Path(peer.script).stem / "bin" / "python" if peer.packages else Path(sys.executable)
    if not python.exists():
        return "not installed (--setup)"
    command = [str(python), str(HERE / peer.script), str(video), str(seconds), *peer.arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
    except subprocess.TimeoutExpired:
        return f"no answer within {LIMIT:g} s"
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        return (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1][:200]
    answer: dict[str, Any] = json.loads(lines[-1])
    return answer
