"""A loaded service that a real Prometheus watches: for tests of rules, alerts and dashboards."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

for folder in ("serve", "observe", "deploy"):  # for service_process.py, servers.py, watched.py: no packages
    sys.path.insert(0, str(Path(__file__).parents[1] / folder))

from watched import Watched, busy_service, watched  # noqa: E402  # found by the lines above


@pytest.fixture(scope="session")
def watched_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """The embedded cascade under load, and a Prometheus with the real rules, shortened, that scrapes it."""
    folder = tmp_path_factory.mktemp("watched")
    with (
        busy_service(folder) as service,
        watched(folder / "prometheus", service, gpus=(folder / "nvml").is_dir()) as it,
    ):
        yield it
