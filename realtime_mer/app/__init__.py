"""The front end in a browser: live, recorded, benchmark, about. Shows and steers the same Pipeline as everything else.

settings      what the server was started with, and what a viewer may ask of it
browser       the browser's camera as a Source
viewer        one viewer's live analysis: a source, a pipeline, a thread
messages      observations and events as small JSON for the page
pictures      the onset, the apex, the offset and the motion of one event, as JPEG
live          the WebSocket between the page and a viewer
recorded      uploaded videos: their analysis and its files, kept for one session
child         a command in a process of its own that can be stopped
timeline      the plotly figures
shown         an analysed recording as HTML
recorded_tab  the tab of the uploaded videos
benchmark     the tab of the latency benchmark
about         the words of the About page
pages         the Gradio page; server puts all together and serves it
static/       the live page's own script and the style sheet

Only ``pages``, the tabs, ``timeline``, ``live`` and ``server`` need the [app] extra. Nothing here measures or decides
anything.
"""
