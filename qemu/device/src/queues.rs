// SPDX-License-Identifier: GPL-2.0

//! Queues and their doorbells (Base Specification 2.1, section 3.3).

mod completion;
mod doorbell;
mod submission;

pub use completion::CompletionQueue;
pub use doorbell::Doorbell;
pub use submission::SubmissionQueue;

/// A value of a doorbell that the host must not write.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct InvalidValue(pub String);
