"""Settings for every test: hypothesis draws the same examples each time and sets no deadline."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("optprobe", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("optprobe")
