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
/// Every request in the list is valid and in no other list. The tail of an empty list has no meaning.
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
        if self.is_empty() {
            return Self::new().0;
        }
        self.0
    }

    /// Returns whether the list is empty.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.head.is_null()
    }

    /// Adds `rq` at the end. Not inlined: few requests are sorted out.
    ///
    /// # Safety
    ///
    /// `rq` is valid for as long as it is in the list, and in no other.
    #[inline(never)]
    pub(crate) unsafe fn push(&mut self, rq: *mut bindings::request) {
        // SAFETY: By the contract of this function, and the type invariants.
        unsafe {
            *rq_next(rq) = null_mut();
            if self.0.head.is_null() {
                self.0.head = rq;
            } else {
                *rq_next(self.0.tail) = rq;
            }
        }
        self.0.tail = rq;
    }

    /// Returns the first request.
    #[inline]
    pub(crate) fn first(&self) -> Option<*mut bindings::request> {
        (!self.0.head.is_null()).then_some(self.0.head)
    }

    /// Takes the first request out. Its link is left as it is.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<*mut bindings::request> {
        let rq = self.first()?;
        // SAFETY: By the type invariants.
        self.0.head = unsafe { *rq_next(rq) };
        Some(rq)
    }

    /// Takes requests out, from the first to the one before that which is not `alike`. Returns those of
    /// them that `keeps` says yes of, in order; the others go to the end of `others`.
    ///
    /// Those that are kept stay linked as they are, so that it costs little if all are.
    #[inline]
    pub(crate) fn take_run(
        &mut self,
        alike: impl Fn(*mut bindings::request) -> bool,
        mut keeps: impl FnMut(*mut bindings::request) -> bool,
        others: &mut Self,
    ) -> Self {
        let mut run = Self::new();
        // Where the next one that is kept is linked.
        let mut link = &raw mut run.0.head;
        let mut rq = self.0.head;
        while !rq.is_null() {
            // SAFETY: By the type invariants.
            let next = unsafe { *rq_next(rq) };
            if keeps(rq) {
                run.0.tail = rq;
                // SAFETY: The link of the list or of a request in it. By the type invariants; while
                // all are kept, this is as it was.
                unsafe {
                    *link = rq;
                    link = rq_next(rq);
                }
            } else {
                // SAFETY: By the type invariants; the request is in no list now.
                unsafe { others.push(rq) };
            }
            rq = next;
            if !rq.is_null() && !alike(rq) {
                break;
            }
        }
        // SAFETY: As above.
        unsafe { *link = null_mut() };
        self.0.head = rq;
        run
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

    /// The queues of requests with the tags 0 to 3; the tags that are not kept, and what is kept of the
    /// first run, and of the second.
    type Case = ([u32; 4], [&'static [i32]; 3]);

    /// Returns the tag of a request of the tests, which outlive their lists.
    fn tag_of(rq: *mut bindings::request) -> i32 {
        // SAFETY: By the contract of this function.
        unsafe { (*rq).tag }
    }

    /// Returns what stands for the queue of such a request.
    fn queue_of(rq: *mut bindings::request) -> u32 {
        // SAFETY: As in `tag_of`.
        unsafe { (*rq).cmd_flags }
    }

    /// Returns whether `list` has requests with these tags, in order, and no others.
    fn has(mut list: RequestList, tags: &[i32]) -> bool {
        tags.iter().all(|tag| list.pop().map(tag_of) == Some(*tag)) && list.is_empty()
    }

    #[test]
    fn runs_are_taken_and_sorted() -> Result {
        let cases: [Case; 8] = [
            ([7, 7, 7, 7], [&[], &[0, 1, 2, 3], &[]]),
            ([7, 7, 8, 8], [&[], &[0, 1], &[2, 3]]),
            ([7, 8, 7, 8], [&[], &[0], &[1]]),
            ([7, 7, 7, 7], [&[0], &[1, 2, 3], &[]]),
            ([7, 7, 7, 7], [&[3], &[0, 1, 2], &[]]),
            ([7, 7, 7, 7], [&[1, 2], &[0, 3], &[]]),
            ([7, 7, 7, 7], [&[0, 1, 2, 3], &[], &[]]),
            ([7, 7, 7, 8], [&[0, 2, 3], &[1], &[]]),
        ];
        for (queues, [others, first, second]) in cases {
            let mut requests = KVec::new();
            for (tag, queue) in (0..).zip(queues) {
                let mut request = KBox::new(bindings::request::default(), GFP_KERNEL)?;
                request.tag = tag;
                request.cmd_flags = queue;
                requests.push(request, GFP_KERNEL)?;
            }
            let mut list = RequestList::new();
            for request in &mut requests {
                // SAFETY: It outlives the lists.
                unsafe { list.push(&mut **request) };
            }
            let mut refused = RequestList::new();
            for kept in [first, second] {
                let queue = list.first().map(queue_of);
                let run = list.take_run(
                    |rq| Some(queue_of(rq)) == queue,
                    |rq| !others.contains(&tag_of(rq)),
                    &mut refused,
                );
                assert!(has(run, kept));
            }
            assert!(has(refused, others));
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
