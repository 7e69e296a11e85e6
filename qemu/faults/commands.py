# SPDX-License-Identifier: GPL-2.0
"""Opcodes, and what commands say in their dword 10."""

WRITE, READ = 0x01, 0x02
"""I/O commands."""
DELETE_SQ, CREATE_SQ, CREATE_CQ, GET_LOG, IDENTIFY, ABORT, SET_FEATURES, MANAGE, \
    DOORBELL_BUFFER_CONFIG = (
        0x00, 0x01, 0x05, 0x02, 0x06, 0x08, 0x09, 0x1c, 0x7c)
"""Admin commands."""
IDENTIFY_CONTROLLER, NAMESPACE_LIST, PRIMARY_CAPABILITIES, SECONDARY_LIST = (
    0x01, 0x02, 0x14, 0x15)
"""What Identify returns (CNS)."""
POWER_MANAGEMENT, NUMBER_OF_QUEUES, ASYNC_EVENTS, HOST_MEMORY_BUFFER = (
    0x02, 0x07, 0x0b, 0x0d)
"""Features."""
