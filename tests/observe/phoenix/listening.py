"""Where a process listens."""

from __future__ import annotations

import ipaddress
from pathlib import Path

__all__ = ["addresses"]

_LISTENING = "0A"


def addresses(pid: int) -> set[str]:
    """The addresses at which a process accepts TCP connections."""
    found: dict[str, str] = {}
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            cells = line.split()
            if cells[3] == _LISTENING:
                found[cells[9]] = cells[1].rpartition(":")[0]
    links = (str(file.readlink()) for file in Path(f"/proc/{pid}/fd").iterdir())
    own = {link.removeprefix("socket:[").removesuffix("]") for link in links if link.startswith("socket:[")}
    return {_read(found[inode]) for inode in own & found.keys()}


def _read(digits: str) -> str:
    """An address as the kernel writes it: words of 32 bits, each with its bytes turned round."""
    words = [bytes.fromhex(digits[at : at + 8])[::-1] for at in range(0, len(digits), 8)]
    address = ipaddress.ip_address(b"".join(words))
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)
