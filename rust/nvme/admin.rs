// SPDX-License-Identifier: GPL-2.0

//! Admin commands that the transport itself sends.

use super::{
    request::Pdu,
    AdminCommand,
    CommandStatus,
    Controller,
    NoData,
    Transfer,
    Transport, //
};
use crate::bindings;
use kernel::{
    error::from_err_ptr,
    prelude::*,
    sync::Arc, //
};

/// What to do when a command that nobody waits for is complete.
///
/// # Examples
///
/// ```
/// # use kernel::{prelude::*, sync::Arc};
/// # use kernel_ext::nvme::{AdminCommand, AdminDone, CommandStatus, Controller, Transport};
/// struct Report;
///
/// impl AdminDone for Report {
///     fn done(&self, status: Result<(), CommandStatus>) {
///         if let Err(status) = status {
///             pr_warn!("the controller refused the command: {:#x}\n", status.code());
///         }
///     }
/// }
///
/// /// Sends an Abort for command identifier `id` of the admin queue.
/// fn abort<T: Transport>(ctrl: &Controller<T>, id: u16) -> Result {
///     let command = AdminCommand::new::<0x08>(u32::from(id) << 16);
///     ctrl.admin_command_nowait(command, Arc::new(Report, GFP_KERNEL)?)
/// }
/// ```
pub trait AdminDone: Send + Sync + 'static {
    /// The command is complete; `status` says why it failed. Any context, so this cannot sleep.
    fn done(&self, status: Result<(), CommandStatus>);
}

/// Why an admin command failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdminError {
    /// The controller refused it.
    Refused(CommandStatus),
    /// The controller has given no answer: the command did not reach it, or was called off.
    Failed(Error),
}

impl From<Error> for AdminError {
    fn from(e: Error) -> Self {
        Self::Failed(e)
    }
}

impl From<AdminError> for Error {
    /// `EIO` for a refusal, where nothing better is known.
    fn from(e: AdminError) -> Self {
        match e {
            AdminError::Refused(_) => EIO,
            AdminError::Failed(e) => e,
        }
    }
}

impl<T: Transport> Controller<T> {
    /// Sends an admin command and waits for it; `buffer` is the data that it transfers, `()` if it
    /// transfers none. Returns dword 0 of the completion.
    ///
    /// Sleeps. Works in every state in which the admin queue does; does not wait for a reset to be
    /// over. `ENODEV` if there is no admin queue.
    pub fn admin_command<D: Transfer>(
        &self,
        command: AdminCommand<D>,
        buffer: D::Buffer<'_>,
    ) -> Result<u32, AdminError> {
        let queue = self.admin_queue().ok_or(ENODEV)?;
        let (data, len) = D::parts(buffer);
        let mut command = command.into_command();
        let mut result = bindings::nvme_completion_nvme_result::default();
        // SAFETY: The admin queue lives as long as the controller. The command and the buffer, which
        // is as long as what the command transfers, are ours during the call. The memory is not
        // written if the command does not read into it, as bits 1:0 of its opcode tell.
        let ret = unsafe {
            bindings::__nvme_submit_sync_cmd(
                queue,
                command.as_raw(),
                &mut result,
                data,
                len,
                bindings::NVME_QID_ANY,
                0,
            )
        };
        match u16::try_from(ret) {
            Ok(0) => {
                // SAFETY: Every variant of the union is plain data that overlaps `u32_`.
                let dword0 = unsafe { core::ptr::from_ref(&result).cast::<u32>().read() };
                Ok(u32::from_le(dword0))
            }
            Ok(status) => Err(AdminError::Refused(CommandStatus(status))),
            Err(_) => Err(AdminError::Failed(Error::from_errno(ret))),
        }
    }

    /// Sends an admin command that transfers no data, and has `done` told when it is complete.
    /// Does not sleep: `EWOULDBLOCK` if no tag is free.
    pub fn admin_command_nowait<D: AdminDone>(
        &self,
        command: AdminCommand<NoData>,
        done: Arc<D>,
    ) -> Result {
        let queue = self.admin_queue().ok_or(ENODEV)?;
        let mut command = command.into_command();
        // Bit 0 of an opcode tells that data goes to the controller (section 3.3.3.1).
        let op = if command.opcode() & 1 != 0 {
            bindings::req_op_REQ_OP_DRV_OUT
        } else {
            bindings::req_op_REQ_OP_DRV_IN
        };
        // SAFETY: The admin queue lives as long as the controller.
        let rq = from_err_ptr(unsafe {
            bindings::blk_mq_alloc_request(queue, op, bindings::BLK_MQ_REQ_NOWAIT)
        })?;
        // SAFETY: The request is new and ours; the command is copied into it.
        unsafe {
            bindings::nvme_init_request(rq, command.as_raw());
            (*rq).end_io = Some(end_io_callback::<T, D>);
            (*rq).end_io_data = Arc::into_raw(done).cast_mut().cast();
            bindings::blk_execute_rq_nowait(rq, false);
        }
        Ok(())
    }
}

/// # Safety
///
/// Only called by the block layer, with a request that `admin_command_nowait` sent.
unsafe extern "C" fn end_io_callback<T: Transport, D: AdminDone>(
    rq: *mut bindings::request,
    status: bindings::blk_status_t,
    _iob: *const bindings::io_comp_batch,
) -> bindings::rq_end_io_ret {
    // SAFETY: By the contract of this function.
    let (done, nvme_status) = unsafe {
        let done = Arc::from_raw((*rq).end_io_data.cast::<D>().cast_const());
        (done, (*Pdu::<T>::nvme_request(rq)).status)
    };
    // SAFETY: The request is complete, and this is its owner.
    unsafe { bindings::blk_mq_free_request(rq) };
    done.done(if status == 0 {
        Ok(())
    } else {
        Err(CommandStatus(nvme_status))
    });
    bindings::rq_end_io_ret_RQ_END_IO_NONE
}

#[kunit_tests(kernel_ext_nvme_admin)]
mod tests {
    use super::*;

    #[test]
    fn errno_of_an_error() {
        assert_eq!(Error::from(AdminError::Refused(CommandStatus(0x4120))), EIO);
        assert_eq!(Error::from(AdminError::from(ENODEV)), ENODEV);
    }
}
