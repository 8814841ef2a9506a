//! Wakes the tasks that wait for started runs: one thread, which starts with the first of them,
//! sleeps in poll(2) on the descriptors of their calls. Used by `Running`.
//!
//! Wakers run code of the program. So they are cloned, dropped and woken only while no lock is
//! held, and a panic in one of them does not end the thread.

use std::ffi::{c_int, c_short, c_ulong};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

#[repr(C)]
struct PollFd {
    fd: c_int,
    events: c_short,
    revents: c_short,
}

const POLLIN: c_short = 1;

extern "C" {
    fn poll(fds: *mut PollFd, count: c_ulong, timeout_ms: c_int) -> c_int;
}

pub(crate) struct Reactor {
    /// The process that started the thread: a child of fork() needs its own.
    process: u32,
    /// Tasks by the descriptor that they wait for.
    waiting: Mutex<Vec<(c_int, Waker)>>,
    /// A byte written here makes the thread look at `waiting` again.
    changed: UnixStream,
}

static REACTOR: Mutex<Option<Arc<Reactor>>> = Mutex::new(None);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The reactor of this process, which is started if there is none.
///
/// # Errors
///
/// Descriptors or threads are exhausted.
pub(crate) fn get() -> io::Result<Arc<Reactor>> {
    let mut current = lock(&REACTOR);
    if let Some(reactor) = current.as_ref() {
        if reactor.process == std::process::id() {
            return Ok(reactor.clone());
        }
    }
    let (changed, changes) = UnixStream::pair()?;
    changed.set_nonblocking(true)?;
    changes.set_nonblocking(true)?;
    let reactor = Arc::new(Reactor {
        process: std::process::id(),
        waiting: Mutex::new(Vec::new()),
        changed,
    });
    let of_thread = reactor.clone();
    std::thread::Builder::new()
        .name("sidecall-runs".to_owned())
        .spawn(move || of_thread.serve(changes))?;
    *current = Some(reactor.clone());
    Ok(reactor)
}

impl Reactor {
    /// Wakes the task once, when the descriptor is readable. A descriptor has one task: a later one
    /// takes the place of the earlier.
    pub(crate) fn wake_when_readable(&self, fd: c_int, waker: &Waker) {
        let waker = waker.clone();
        let replaced = self.replace(fd, Some(waker));
        drop(replaced);
    }

    /// Stops watching the descriptor. Its task is not woken.
    pub(crate) fn forget(&self, fd: c_int) {
        drop(self.replace(fd, None));
    }

    /// Returns the tasks that waited for the descriptor before, to be dropped without the lock.
    fn replace(&self, fd: c_int, waker: Option<Waker>) -> Vec<Waker> {
        let replaced = self.take(|other| other == fd);
        if let Some(waker) = waker {
            lock(&self.waiting).push((fd, waker));
        }
        // If the socket is full, the thread has not yet seen an earlier change either.
        let _ = (&self.changed).write(&[0]);
        replaced
    }

    /// Takes the tasks whose descriptors are meant.
    fn take(&self, is_meant: impl Fn(c_int) -> bool) -> Vec<Waker> {
        let mut waiting = lock(&self.waiting);
        let mut taken = Vec::new();
        let mut at = 0;
        while at < waiting.len() {
            if is_meant(waiting[at].0) {
                taken.push(waiting.swap_remove(at).1);
            } else {
                at += 1;
            }
        }
        taken
    }

    fn serve(&self, mut changes: UnixStream) {
        let mut fds = Vec::new();
        loop {
            fds.clear();
            let entry = |fd| PollFd {
                fd,
                events: POLLIN,
                revents: 0,
            };
            fds.push(entry(changes.as_raw_fd()));
            fds.extend(lock(&self.waiting).iter().map(|(fd, _)| entry(*fd)));
            // SAFETY: the array has so many elements.
            let ready = unsafe { poll(fds.as_mut_ptr(), fds.len() as c_ulong, -1) };
            if ready < 0 && io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
                // poll does not work, so every task is woken and looks at its run itself.
                std::thread::sleep(Duration::from_millis(10));
                wake(self.take(|_| true));
                continue;
            }
            if fds[0].revents != 0 {
                let mut bytes = [0; 256];
                while matches!(changes.read(&mut bytes), Ok(read) if read > 0) {}
            }
            // An error of a descriptor wakes its task too, which then learns the outcome.
            wake(self.take(|fd| {
                fds[1..]
                    .iter()
                    .any(|entry| entry.fd == fd && entry.revents != 0)
            }));
        }
    }
}

fn wake(tasks: Vec<Waker>) {
    for waker in tasks {
        let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
    }
}
