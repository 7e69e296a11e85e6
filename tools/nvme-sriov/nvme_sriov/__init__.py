# SPDX-License-Identifier: GPL-2.0
"""nvme-sriov: virtual functions of NVMe controllers that nvme_rs drives.

The layers, from the lowest to the highest; a module imports only from those above it here:

- ``failure``: what ends a command
- ``kernel_log``, ``sysfs``, ``config_space``: access to the kernel
- ``setting``: what a VF is to have
- ``driver``: drivers of VFs, and their modules
- ``virtual``, ``physical``: the functions, as sysfs shows them
- ``use``: who uses a VF
- ``declaration``: what a PF is to be like; ``file`` reads and writes it
- ``plan``: the changes that lead there; ``execution`` makes them, and undoes them
- ``doctor``: what would keep VFs from working
- ``commands``: one module for each; ``program``: the command line
"""
