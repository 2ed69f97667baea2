"""A recording without its pictures, and what another laboratory can still do with it: spot with settings of its own.

    python demos/share_without_the_face.py [RESULT]     # a folder that `realtime-mer analyze` made

`realtime-mer share RESULT` does the same.
"""

import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from realtime_mer import Config, MerError, build
from realtime_mer.batch.listing import find
from realtime_mer.batch.recordings import Wanted, analyze
from realtime_mer.bench.clips import Clip, make
from realtime_mer.share.sharing import again, share
from realtime_mer.share.survival import survivals, text
from realtime_mer.sinks import LOG


def main(result: Path, out: Path) -> dict[float, int]:
    """Prints which events survive; returns how many micro-expressions there are at each threshold."""
    shared = share(result / LOG, out)  # here the recording is needed
    print(text(*survivals(shared.published, shared.found)))
    found = {}
    for noise in (4.0, 5.0, 8.0, 16.0):  # from here on only what was shared
        events = again(out, lambda config, noise=noise: with_onset(config, noise)).found
        found[noise] = sum(event.status == "confirmed" for event in events)
        print(f"onset at {noise:g} times the noise: {found[noise]} micro-expressions")
    return found


def with_onset(config: Config, noise: float) -> Config:
    """The settings with another threshold for the onset."""
    return replace(config, spot=replace(config.spot, onset_noise=noise))


def results_of(video: Path, folder: Path) -> Path:
    """Analyzes a video into ``folder``."""
    item = find([str(video)], folder)[0]
    with build() as pipeline:
        analyze(item, pipeline, Wanted(video=False))
    return item.folder


if __name__ == "__main__":
    try:
        with TemporaryDirectory() as place:
            given = Path(sys.argv[1]) if sys.argv[1:] else results_of(make(Clip()), Path(place) / "results")
            main(given, Path(place) / "shared")
    except MerError as error:
        sys.exit(str(error))
