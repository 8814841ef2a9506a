//! A run that is under way as a future, and the cancelling of runs from other threads.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use sidecall_sys as sys;

use crate::call::Shared;
use crate::reactor::{self, Reactor};
use crate::{Call, Result};

/// How long a task wakes itself after a run for which it did so for too short a time.
const BRIEF: Duration = Duration::from_micros(10);

/// A run that is under way; see [`Call::run_async`].
#[must_use = "a run is cancelled when it is dropped"]
pub struct Running<'c> {
    call: &'c mut Call,
    /// Until when the task wakes itself, once it has looked for the first time.
    until: Option<Instant>,
    /// What watches the run afterwards, and its descriptor.
    watched: Option<(Arc<Reactor>, i32)>,
    is_over: bool,
}

impl<'c> Running<'c> {
    pub(crate) fn new(call: &'c mut Call) -> Self {
        Self {
            call,
            until: None,
            watched: None,
            is_over: false,
        }
    }

    /// Lets the task look at the run again: at once, or when the run is over.
    fn await_end(&mut self, context: &Context<'_>) {
        if self.watched.is_none() && !self.is_polling() {
            // Without a free descriptor or thread, the task goes on waking itself.
            if let (Ok(fd), Ok(reactor)) = (self.call.watch(), reactor::get()) {
                self.watched = Some((reactor, fd));
            }
        }
        match &self.watched {
            Some((reactor, fd)) => reactor.wake_when_readable(*fd, context.waker()),
            None => context.waker().wake_by_ref(),
        }
    }

    fn is_polling(&mut self) -> bool {
        if !self.call.model().is_served() {
            return false;
        }
        let now = Instant::now();
        let has_missed = &mut self.call.has_missed;
        let until = *self.until.get_or_insert_with(|| {
            // SAFETY: the function takes nothing and cannot fail.
            let longest = unsafe { sys::sidecall_poll_ns() };
            let longest = Duration::from_nanos(longest.try_into().unwrap_or(0));
            now + if *has_missed {
                longest.min(BRIEF)
            } else {
                longest
            }
        });
        *has_missed = now >= until;
        !*has_missed
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
                self.await_end(context);
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
        if let Some((reactor, fd)) = &self.watched {
            reactor.forget(*fd);
        }
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
