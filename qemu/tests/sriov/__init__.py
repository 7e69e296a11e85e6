# SPDX-License-Identifier: GPL-2.0
"""VFs: their life, settings, isolation, and an IOMMU."""
