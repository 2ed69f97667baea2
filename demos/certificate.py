"""What a camera really delivers, before a study: the drop certificate, and whether it is good enough for this study.

    python demos/certificate.py                    # camera 0, for a minute
    python demos/certificate.py genicam: 60
    python demos/certificate.py clip 5             # the bundled clip, played as a camera would deliver it

`realtime-mer probe SOURCE --certificate` writes the same as a file.
"""

import sys

from realtime_mer import MerError, open_source
from realtime_mer.bench.clips import Clip, make
from realtime_mer.bench.paced import PacedSource
from realtime_mer.sources import ProbeReport, probe

LEAST_FPS = 50.0  # new frames/s: a micro-expression of 1/10 s then shows in five of them
RESOLVED = 0.99  # of the time


def main(address: str = "0", seconds: float = 60.0, clip: Clip | None = None) -> list[str]:
    """Prints the certificate; returns what speaks against this source, nothing where it will do."""
    clip = clip or Clip()
    with PacedSource(make(clip), clip.fps) if address == "clip" else open_source(address) as source:
        report: ProbeReport = probe(source, seconds)
    print(report.text())
    found, problems = report.delivery, []
    if found.new_fps < LEAST_FPS:
        problems.append(f"{found.new_fps:.1f} new frames/s, fewer than {LEAST_FPS:g}")
    if found.resolved < RESOLVED:
        problems.append(f"movements of 1/25 s are resolved in only {100 * found.resolved:.0f} % of the time")
    if found.missed is None:
        problems.append("nobody can say whether frames were lost")
    return problems


if __name__ == "__main__":
    try:
        sys.exit("\n".join(main(*sys.argv[1:2], *map(float, sys.argv[2:3]))) or None)
    except MerError as error:
        sys.exit(str(error))
