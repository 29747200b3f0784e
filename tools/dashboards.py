"""Write deploy/grafana: five dashboards, and an example of how Grafana finds them and Prometheus.

Run by ``make docs``; needs ``grafana-foundation-sdk`` (the dev extra). What it writes depends on nothing but this code.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.cog.encoder import JSONEncoder

import grafana_cost
import grafana_gpus
import grafana_models
import grafana_overview
import grafana_quality
from natix_cascade.files import write_whole

__all__ = ["FOLDER", "files"]

FOLDER = Path(__file__).parents[1] / "deploy" / "grafana"
_VIEWS = {
    "overview": grafana_overview.dashboard,
    "models": grafana_models.dashboard,
    "quality": grafana_quality.dashboard,
    "cost": grafana_cost.dashboard,
    "gpus": grafana_gpus.dashboard,
}
_DATA_SOURCES = """\
# Written by `make docs`. For /etc/grafana/provisioning/datasources.
apiVersion: 1
datasources:
  - name: Prometheus
    uid: natix-cascade-prometheus
    type: prometheus
    access: proxy
    url: http://127.0.0.1:9090
    isDefault: true
    jsonData:
      httpMethod: POST
      timeInterval: 15s # scrape_interval of deploy/prometheus/prometheus.yml: windows of rates follow from it
"""
_DASHBOARDS = """\
# Written by `make docs`. For /etc/grafana/provisioning/dashboards.
apiVersion: 1
providers:
  - name: natix-cascade
    folder: Natix Cascade
    type: file
    disableDeletion: true
    allowUiUpdates: false # save a changed one under another name: these are read anew
    updateIntervalSeconds: 60
    options:
      path: /var/lib/grafana/dashboards/natix-cascade # where dashboards/*.json were copied to
"""


def files() -> Mapping[str, str]:
    """All files: path below `FOLDER`, to text."""
    found = {f"dashboards/{name}.json": _text(view()) for name, view in _VIEWS.items()}
    return {
        **found,
        "provisioning/datasources/natix-cascade.yaml": _DATA_SOURCES,
        "provisioning/dashboards/natix-cascade.yaml": _DASHBOARDS,
    }


def _text(dashboard: Any) -> str:
    return json.dumps(dashboard, cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def main() -> None:
    """Write them."""
    for path, text in files().items():
        (FOLDER / path).parent.mkdir(parents=True, exist_ok=True)
        write_whole(FOLDER / path, text.encode())
        print(FOLDER / path)


if __name__ == "__main__":
    main()
