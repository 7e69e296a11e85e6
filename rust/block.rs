// SPDX-License-Identifier: GPL-2.0

//! The block layer: the parts of it that a multi-queue driver uses, beyond `kernel::block`.

pub mod mq;
