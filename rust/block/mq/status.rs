// SPDX-License-Identifier: GPL-2.0

//! What a driver answers to the block layer.

use crate::bindings;
use kernel::prelude::*;

/// Why a request could not be queued (`blk_status_t`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(bindings::blk_status_t);

impl Status {
    /// The I/O failed for good (`BLK_STS_IOERR`).
    pub const IOERR: Self = Self(10);
    /// A resource is exhausted that will be free later: the block layer tries again
    /// (`BLK_STS_RESOURCE`).
    pub const RESOURCE: Self = Self(9);

    /// Creates a status from a C one; `None` stands for `BLK_STS_OK`.
    pub(crate) fn from_raw(raw: bindings::blk_status_t) -> Option<Self> {
        (raw != 0).then_some(Self(raw))
    }

    /// Returns the C status of `result`.
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

#[kunit_tests(kernel_ext_block_status)]
mod tests {
    use super::*;

    /// Returns the error that the block layer reports for a status.
    fn errno(status: Status) -> Error {
        // SAFETY: Only looks the status up, and knows every value.
        Error::from_errno(unsafe { bindings::blk_status_to_errno(Status::to_raw(Err(status))) })
    }

    #[test]
    fn the_block_layer_knows_them_by_these_names() {
        assert_eq!(errno(Status::IOERR), EIO);
        assert_eq!(errno(Status::RESOURCE), ENOMEM);
    }

    #[test]
    fn success_is_no_status() {
        assert_eq!(Status::from_raw(0), None);
        assert_eq!(Status::to_raw(Ok(())), 0);
        for raw in 1..=u8::MAX {
            let status = Status::from_raw(raw);
            assert_eq!(status.map(|status| Status::to_raw(Err(status))), Some(raw));
        }
    }

    #[test]
    fn a_request_is_done_or_gets_its_time_again() {
        let done = TimerAction::Done.to_raw();
        let restart = TimerAction::Restart.to_raw();
        assert_eq!(done, bindings::blk_eh_timer_return_BLK_EH_DONE);
        assert_eq!(restart, bindings::blk_eh_timer_return_BLK_EH_RESET_TIMER);
        assert!(done != restart);
    }
}
