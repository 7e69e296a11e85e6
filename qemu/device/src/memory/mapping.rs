// SPDX-License-Identifier: GPL-2.0

//! A part of the host's memory, mapped into this process. All unsafe code is here.

use std::{
    fs::File,
    io,
    os::fd::{AsRawFd, RawFd},
    ptr,
    sync::atomic::{fence, Ordering},
};

/// A part of the host's memory. The host changes it at any time, so it is only copied, never
/// referenced.
pub struct Mapping {
    address: u64,
    length: usize,
    pointer: *mut u8,
    writable: bool,
}

// SAFETY: the mapping belongs to the process, and no thread has state of its own in it.
unsafe impl Send for Mapping {}

impl Mapping {
    /// Maps `length` bytes of a file from `offset`, which are at `address` to the device. Memory
    /// without a file cannot be accessed, and has no mapping.
    pub fn new(
        address: u64,
        length: u64,
        writable: bool,
        file: &File,
        offset: u64,
    ) -> io::Result<Self> {
        Self::make(
            address,
            length as usize,
            writable,
            libc::MAP_SHARED,
            file.as_raw_fd(),
            offset,
        )
    }

    #[cfg(test)]
    pub(crate) fn of_our_own(address: u64, length: usize, writable: bool) -> io::Result<Self> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        Self::make(address, length, writable, flags, -1, 0)
    }

    fn make(
        address: u64,
        length: usize,
        writable: bool,
        flags: i32,
        file: RawFd,
        offset: u64,
    ) -> io::Result<Self> {
        let protection = libc::PROT_READ | if writable { libc::PROT_WRITE } else { 0 };
        // SAFETY: the kernel chooses a place where nothing is.
        let pointer = unsafe {
            libc::mmap(
                ptr::null_mut(),
                length,
                protection,
                flags,
                file,
                offset as libc::off_t,
            )
        };
        if pointer == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Mapping {
            address,
            length,
            pointer: pointer.cast(),
            writable,
        })
    }

    /// Returns the address that the device knows it by.
    pub fn address(&self) -> u64 {
        self.address
    }

    /// Returns its length.
    pub fn length(&self) -> usize {
        self.length
    }

    fn contains(&self, offset: usize, length: usize) -> bool {
        (offset.checked_add(length)).is_some_and(|end| end <= self.length)
    }

    /// Reads from `offset`, and returns whether that is possible.
    pub fn read(&self, offset: usize, to: &mut [u8]) -> bool {
        if !self.contains(offset, to.len()) {
            return false;
        }
        // SAFETY: the range is in the mapping, and `to` is ours.
        unsafe { ptr::copy_nonoverlapping(self.pointer.add(offset), to.as_mut_ptr(), to.len()) };
        // What is read next must not be older.
        fence(Ordering::SeqCst);
        true
    }

    /// Writes to `offset`, and returns whether that is possible.
    pub fn write(&self, offset: usize, from: &[u8]) -> bool {
        if !self.writable || !self.contains(offset, from.len()) {
            return false;
        }
        // What was written before must be visible first.
        fence(Ordering::SeqCst);
        // SAFETY: the range is in the mapping, which can be written.
        unsafe { ptr::copy_nonoverlapping(from.as_ptr(), self.pointer.add(offset), from.len()) };
        fence(Ordering::SeqCst);
        true
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and nothing refers to it.
        unsafe { libc::munmap(self.pointer.cast(), self.length) };
    }
}
