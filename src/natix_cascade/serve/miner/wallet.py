"""The miner's keys: those on disk, or some for once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from natix_cascade.errors import CascadeError

__all__ = ["open_wallet", "throwaway_wallet"]


def open_wallet(name: str, hotkey: str, folder: Path) -> Any:
    """Open a wallet whose hotkey is on disk.

    Parameters
    ----------
    name, hotkey : str
        As bittensor's own command line calls them.
    folder : Path
        That holds the wallets.

    Raises
    ------
    CascadeError
        The hotkey or the coldkey's public half is not there.
    """
    from bittensor import Wallet  # noqa: PLC0415  # the miner's environment only

    wallet = Wallet(name=name, hotkey=hotkey, path=str(folder.expanduser()))
    for kind, file in (("hotkey", wallet.hotkey_file), ("public coldkey", wallet.coldkeypub_file)):
        if not file.exists_on_device():
            raise CascadeError(
                f"the {kind} of wallet {name!r} is not at {file.path}: make it with btcli wallet create, "
                "or name another --wallet-name, --wallet-hotkey or --wallet-path"
            )
    return wallet


def throwaway_wallet(folder: Path) -> Any:
    """Make a wallet with new keys, unencrypted, in a folder that is to be removed."""
    from bittensor import Wallet  # noqa: PLC0415  # the miner's environment only

    wallet = Wallet(name="once", hotkey="once", path=str(folder))
    wallet.create_new_coldkey(use_password=False, overwrite=True, suppress=True)
    wallet.create_new_hotkey(use_password=False, overwrite=True, suppress=True)
    return wallet
