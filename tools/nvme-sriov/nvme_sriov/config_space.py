# SPDX-License-Identifier: GPL-2.0
"""The configuration space of a PCI function (PCI Express Base Specification, chapter 7 and
9.3.3)."""

from nvme_sriov.sysfs import DEVICES, Sysfs

EXPRESS = 0x10
ACS = 0x000d
SRIOV = 0x0010

_HEADER = 0x40
_EXTENDED = 0x100
_HEADER_TYPE = 0x0e
_SUBORDINATE = 0x1a
_CAPABILITIES = 0x34


class ConfigSpace:
    """What sysfs shows of a function's configuration space: without privilege, its header
    alone."""

    def __init__(self, sysfs: Sysfs, address: str) -> None:
        self._data = sysfs.data(f"{DEVICES}/{address}/config")

    @property
    def is_complete(self) -> bool:
        """Returns whether the extended capabilities can be read."""
        return len(self._data) > _EXTENDED

    def word(self, offset: int) -> int:
        """Returns 16 bits."""
        return int.from_bytes(self._data[offset:offset + 2], "little")

    @property
    def last_bus(self) -> int | None:
        """Returns the last bus below a bridge; None for what is none."""
        if len(self._data) < _HEADER or self._data[_HEADER_TYPE] & 0x7f != 1:
            return None
        return self._data[_SUBORDINATE]

    def capability(self, wanted: int) -> int | None:
        """Returns the offset of a capability."""
        offset = self._data[_CAPABILITIES] if len(self._data) > _HEADER else 0
        seen: set[int] = set()
        while offset >= _HEADER and offset not in seen and offset + 1 < len(self._data):
            seen.add(offset)
            if self._data[offset] == wanted:
                return offset
            offset = self._data[offset + 1] & ~3
        return None

    def extended(self, wanted: int) -> int | None:
        """Returns the offset of an extended capability."""
        offset = _EXTENDED
        seen: set[int] = set()
        while offset >= _EXTENDED and offset not in seen and offset + 3 < len(self._data):
            seen.add(offset)
            header = int.from_bytes(self._data[offset:offset + 4], "little")
            if header & 0xffff == wanted:
                return offset
            offset = header >> 20 & ~3
        return None
