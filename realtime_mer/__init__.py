"""Spots, times and names facial micro-expressions in live and recorded video.

    from realtime_mer import Config, build, open_source

    with open_source("clip.mp4") as source:
        for observation in build(Config()).run(source):
            for event in observation.events:
                print(event)
"""
