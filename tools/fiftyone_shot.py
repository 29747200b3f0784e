"""Photograph FiftyOne's App over rendered street scenes, for the documentation.

Renders scenes, judges them with the embedded cascade (and with boxes where `--boxes`), makes the data set with
``natix-cascade observe fiftyone``, serves the App, and takes a picture of it with Chromium. Run it with a Python that
has playwright; FiftyOne lives in another one::

    python tools/fiftyone_shot.py --python FIFTYONE_PYTHON --database mongodb://127.0.0.1:27017 --out docs/images/fiftyone.png
"""
