// SPDX-License-Identifier: GPL-2.0

//! The block layer, as a multi-queue driver meets it.

pub mod mq;
