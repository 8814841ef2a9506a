//! A run that is under way as a future, and the cancelling of runs from other threads.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::PoisonError;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use sidecall_sys as sys;

use crate::call::Shared;
use crate::runs::Progress;
use crate::{Call, Result};

/// How long a task polls after a run for which it did so for too short a time.
const BRIEF: Duration = Duration::from_micros(10);

/// A run that is under way; see [`Call::run_async`].
#[must_use = "a run is cancelled when it is dropped"]
pub struct Running<'c> {
    call: &'c mut Call,
    /// The task takes from the queue itself.
    takes: bool,
    /// Until when the task polls, once it has done so for the first time.
    until: Option<Instant>,
    is_over: bool,
}

impl<'c> Running<'c> {
    pub(crate) fn new(call: &'c mut Call) -> Self {
        Self {
            takes: call.model().is_polled(),
            call,
            until: None,
            is_over: false,
        }
    }

    /// Lets the task look at the run again: at once, or when the run is over.
    fn await_end(&mut self, waker: &Waker) {
        if self.call.model().is_polled() && self.is_polling() {
            return waker.wake_by_ref();
        }
        if !self.call.sleep(waker) {
            self.takes = true;
            waker.wake_by_ref();
        }
    }

    fn is_polling(&mut self) -> bool {
        let now = Instant::now();
        let until = *self.until.get_or_insert_with(|| {
            let longest = self.call.polling_time();
            now + if self.call.has_missed {
                longest.min(BRIEF)
            } else {
                longest
            }
        });
        self.call.has_missed = now >= until;
        now < until
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
        match self.call.look(self.takes) {
            Progress::UnderWay => {
                self.await_end(context.waker());
                Poll::Pending
            }
            progress => {
                self.is_over = true;
                Poll::Ready(self.call.end(progress))
            }
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.call.give_up();
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
