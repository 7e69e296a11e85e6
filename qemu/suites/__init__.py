# SPDX-License-Identifier: GPL-2.0
"""Other people's test suites, run in a Debian guest with nvme-rs and with the in-tree driver."""
