"""Which project of the hosted service (or of a W&B server of one's own) is meant; made where it is not there yet.

``python -m natix_cascade.observe.weave_account PROJECT`` prints ``{"url": ..., "project": ...}``. It is the only file
that imports weave, and a process of its own: that import takes seconds, patches other packages and may hang on a
network. The key is in the variable ``WANDB_API_KEY``; weave's other variables count too.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module

__all__ = ["account"]


def account(project: str) -> dict[str, str]:
    """Ask who the key belongs to, and for the project.

    Parameters
    ----------
    project : str
        ``entity/project``, or a project of the key's own entity.

    Returns
    -------
    dict of str to str
        ``url`` of the trace server, and ``project`` as ``entity/project``.
    """
    context = import_module("weave.wandb_interface.context")
    if hasattr(context, "init"):
        context.init()  # older releases read the key once, here
    entity, name = import_module("weave.trace.weave_init").get_entity_project_from_project_name(project)
    made = import_module("weave.wandb_interface.project_creator").ensure_project_exists(entity, name)
    url = import_module("weave.trace.env").weave_trace_server_url()
    return {"url": url, "project": f"{entity}/{made['project_name']}"}


if __name__ == "__main__":
    sys.stdout.write(f"{json.dumps(account(sys.argv[1]))}\n")
