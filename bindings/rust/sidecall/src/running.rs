//! A run that is under way as a future, and the cancelling of runs from other threads.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use sidecall_sys as sys;

use crate::call::Shared;
use crate::reactor::Reactor;
use crate::{Call, Result};

/// A run that is under way; see [`Call::run_async`].
#[must_use = "a run is cancelled when it is dropped"]
pub struct Running<'c> {
    call: &'c mut Call,
    reactor: Arc<Reactor>,
    fd: i32,
    is_over: bool,
}

impl<'c> Running<'c> {
    pub(crate) fn new(call: &'c mut Call, reactor: Arc<Reactor>, fd: i32) -> Self {
        Self {
            call,
            reactor,
            fd,
            is_over: false,
        }
    }
}

impl fmt::Debug for Running<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running")
            .field("call", &self.call)
            .finish_non_exhaustive()
    }
}

impl Future for Running<'_> {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = match self.call.finish(Some(Duration::ZERO)) {
            Ok(false) => {
                self.reactor.wake_when_readable(self.fd, context.waker());
                return Poll::Pending;
            }
            Ok(true) => Ok(()),
            Err(error) => Err(error),
        };
        self.is_over = true;
        Poll::Ready(outcome)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        self.reactor.forget(self.fd);
        self.call.canceller().cancel();
        // The first call takes the outcome, which is there at once and is not needed. The second
        // one waits until the engine of this process has stopped.
        let _ = self.call.finish(None);
        if self.call.is_busy() {
            let _ = self.call.finish(None);
        }
    }
}

/// Cancels the run of a call from another thread. It does nothing once the call is gone.
#[derive(Clone)]
pub struct Canceller(Shared);

impl fmt::Debug for Canceller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Canceller")
    }
}

impl Canceller {
    pub(crate) fn new(call: Shared) -> Self {
        Self(call)
    }

    /// Asks the run to end with [`Code::Cancelled`](crate::Code::Cancelled).
    pub fn cancel(&self) {
        let shared = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(handle) = *shared {
            // SAFETY: any thread may cancel, and the call is open as long as the lock is held.
            unsafe { sys::sidecall_call_cancel(handle.0.as_ptr()) };
        }
    }
}
