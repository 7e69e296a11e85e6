// SPDX-License-Identifier: GPL-2.0

//! A list of requests (`struct rq_list`), linked through the requests themselves.

use crate::{
    bindings,
    layout::rq_next, //
};
use core::ptr::null_mut;
use kernel::prelude::*;

/// A first-in, first-out list of requests, which belong to the owner of the list.
///
/// # Invariants
///
/// Every request in the list is valid and in no other list.
pub(crate) struct RequestList(bindings::rq_list);

impl RequestList {
    /// Creates an empty list.
    #[inline]
    pub(crate) const fn new() -> Self {
        Self(bindings::rq_list {
            head: null_mut(),
            tail: null_mut(),
        })
    }

    /// Takes all requests out of `list`.
    ///
    /// # Safety
    ///
    /// The invariants hold for the requests in `list`.
    #[inline]
    pub(crate) unsafe fn take(list: &mut bindings::rq_list) -> Self {
        Self(core::mem::replace(list, Self::new().0))
    }

    /// Returns the list as C knows it.
    #[inline]
    pub(crate) fn into_raw(self) -> bindings::rq_list {
        self.0
    }

    /// Returns whether the list is empty.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.head.is_null()
    }

    /// Adds `rq` at the end.
    ///
    /// # Safety
    ///
    /// `rq` is valid for as long as it is in the list, and in no other.
    #[inline]
    pub(crate) unsafe fn push(&mut self, rq: *mut bindings::request) {
        // SAFETY: By the contract of this function, and the type invariants.
        unsafe {
            *rq_next(rq) = null_mut();
            if self.0.tail.is_null() {
                self.0.head = rq;
            } else {
                *rq_next(self.0.tail) = rq;
            }
        }
        self.0.tail = rq;
    }

    /// Takes the first request out.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<*mut bindings::request> {
        let rq = self.0.head;
        if rq.is_null() {
            return None;
        }
        // SAFETY: By the type invariants.
        unsafe {
            self.0.head = *rq_next(rq);
            *rq_next(rq) = null_mut();
        }
        if self.0.head.is_null() {
            self.0.tail = null_mut();
        }
        Some(rq)
    }
}

#[kunit_tests(kernel_ext_block_list)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_first_comes_out_first() -> Result {
        let mut requests = KVec::new();
        for _ in 0..3 {
            requests.push(
                KBox::new(bindings::request::default(), GFP_KERNEL)?,
                GFP_KERNEL,
            )?;
        }
        let mut list = RequestList::new();
        for _ in 0..2 {
            assert!(list.is_empty());
            assert!(list.pop().is_none());
            for request in &mut requests {
                // SAFETY: It outlives the list, and was taken out of it.
                unsafe { list.push(&mut **request) };
                assert!(!list.is_empty());
            }
            for request in &mut requests {
                assert_eq!(list.pop(), Some(core::ptr::from_mut(&mut **request)));
            }
        }
        Ok(())
    }

    #[test]
    fn c_gets_what_it_gave() -> Result {
        let mut request = KBox::new(bindings::request::default(), GFP_KERNEL)?;
        let only = core::ptr::from_mut(&mut *request);
        let mut raw = bindings::rq_list {
            head: only,
            tail: only,
        };
        // SAFETY: The request outlives both lists.
        let list = unsafe { RequestList::take(&mut raw) };
        assert!(raw.head.is_null() && raw.tail.is_null());
        let raw = list.into_raw();
        assert_eq!(raw.head, only);
        assert_eq!(raw.tail, only);
        Ok(())
    }
}
