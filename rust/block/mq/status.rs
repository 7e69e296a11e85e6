// SPDX-License-Identifier: GPL-2.0

//! What a driver answers to the block layer.

use crate::bindings;

/// Why a request could not be queued (`blk_status_t`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(bindings::blk_status_t);

impl Status {
    /// The I/O failed for good (`BLK_STS_IOERR`).
    pub const IOERR: Self = Self(10);
    /// Something that will be free later is short: try again (`BLK_STS_RESOURCE`).
    pub const RESOURCE: Self = Self(9);

    /// Any status but success, from C; `None` stands for `BLK_STS_OK`.
    pub(crate) fn from_raw(raw: bindings::blk_status_t) -> Option<Self> {
        (raw != 0).then_some(Self(raw))
    }

    /// The result as C has it.
    pub(crate) fn to_raw(result: Result<(), Self>) -> bindings::blk_status_t {
        match result {
            Ok(()) => 0,
            Err(status) => status.0,
        }
    }
}

/// What to do with a request whose time is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimerAction {
    /// The request is completed, or will be by what was started.
    Done,
    /// Give the request its time once more.
    Restart,
}

impl TimerAction {
    pub(crate) fn to_raw(self) -> bindings::blk_eh_timer_return {
        match self {
            Self::Done => bindings::blk_eh_timer_return_BLK_EH_DONE,
            Self::Restart => bindings::blk_eh_timer_return_BLK_EH_RESET_TIMER,
        }
    }
}
