"""The browser app: live, recorded, benchmark, about. It runs the same pipeline as the command line.

settings what the server was started with, and which requests of a viewer it grants
browser       the browser's camera as a Source
viewer        one viewer's live analysis: a source, a pipeline, a thread
messages      observations and events as small JSON for the page
pictures      the onset, the apex, the offset and the motion of one event, as JPEG
live          the WebSocket between the page and a viewer
calibration   half a minute of a resting face: a sensitivity that suits it
keeping       a live recording: the log at once, pictures and video behind it
job           one job: an upload with its analysis, or a recording
jobs          all jobs: their owners, their queue, their time to live
folders       the folders of jobs on the disk
analysis      the analysis of one job
workbench     what the Recorded page gets of a job, as plain data
routes        the plain routes of jobs
guard         which requests are answered at all
process       a command in a process of its own that can be stopped
timeline      the histograms of the benchmark
benchmark     the tab of the latency benchmark
about         the words of the About page
pages         the Gradio page; server puts all together and serves it
static/       the scripts of the live and the recorded page, and the style sheet

Only ``pages``, ``benchmark``, ``timeline``, ``routes``, ``live`` and ``server`` need the [app] extra. Nothing here
measures or decides anything.
"""
