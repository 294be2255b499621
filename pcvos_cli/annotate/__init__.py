"""A local page to draw, watch and correct masks.

::

    serve.py        the front door
    guard.py        who may ask
    routes.py       HTTP
    events.py       what the pages are told, and which of them edits
    session.py      what the page can ask for; one job at a time
    project.py      the folder: references, masks, objects, settings
    propagation.py  masks of further frames
    runs.py         label maps on the wire
    page/           the page itself: HTML, CSS, ES modules
"""
