//! Wakes the tasks that wait for started runs: one thread, which starts with the first of them,
//! sleeps in poll(2) on the descriptors of their calls. Used by `Running`.

use std::ffi::{c_int, c_short, c_ulong};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::Waker;

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

struct Reactor {
    /// Tasks by the descriptor that they wait for.
    waiting: Mutex<Vec<(c_int, Waker)>>,
    /// A byte written here makes the thread look at `waiting` again.
    changed: UnixStream,
}

static REACTOR: OnceLock<Arc<Reactor>> = OnceLock::new();

/// Wakes the task once, when the descriptor is readable. A descriptor has one task: a later one
/// takes the place of the earlier.
pub(crate) fn wake_when_readable(fd: c_int, waker: &Waker) {
    let reactor = REACTOR.get_or_init(start);
    reactor.change(|waiting| {
        waiting.retain(|(other, _)| *other != fd);
        waiting.push((fd, waker.clone()));
    });
}

/// Forgets the descriptor, which is about to be closed.
pub(crate) fn forget(fd: c_int) {
    if let Some(reactor) = REACTOR.get() {
        reactor.change(|waiting| waiting.retain(|(other, _)| *other != fd));
    }
}

fn start() -> Arc<Reactor> {
    let (changed, changes) = UnixStream::pair().expect("a pair of sockets");
    for end in [&changed, &changes] {
        end.set_nonblocking(true)
            .expect("sockets that do not block");
    }
    let reactor = Arc::new(Reactor {
        waiting: Mutex::new(Vec::new()),
        changed,
    });
    let of_thread = reactor.clone();
    std::thread::Builder::new()
        .name("sidecall-runs".to_owned())
        .spawn(move || serve(&of_thread, changes))
        .expect("a thread that waits for runs");
    reactor
}

impl Reactor {
    fn change(&self, change: impl FnOnce(&mut Vec<(c_int, Waker)>)) {
        change(&mut self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        // If the socket is full, the thread has not yet seen an earlier change either.
        let _ = (&self.changed).write(&[0]);
    }

    /// Takes the tasks whose descriptors are readable.
    fn take(&self, readable: &[c_int]) -> Vec<Waker> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken = Vec::new();
        let mut at = 0;
        while at < waiting.len() {
            if readable.contains(&waiting[at].0) {
                taken.push(waiting.swap_remove(at).1);
            } else {
                at += 1;
            }
        }
        taken
    }
}

fn serve(reactor: &Reactor, mut changes: UnixStream) {
    let mut fds = Vec::new();
    loop {
        fds.clear();
        let entry = |fd| PollFd {
            fd,
            events: POLLIN,
            revents: 0,
        };
        fds.push(entry(changes.as_raw_fd()));
        {
            let waiting = reactor
                .waiting
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            fds.extend(waiting.iter().map(|(fd, _)| entry(*fd)));
        }
        // SAFETY: the array has so many elements.
        unsafe { poll(fds.as_mut_ptr(), fds.len() as c_ulong, -1) };
        if fds[0].revents != 0 {
            let mut bytes = [0; 256];
            while matches!(changes.read(&mut bytes), Ok(read) if read > 0) {}
        }
        // An error of a descriptor wakes its task too, which then learns the outcome.
        let readable: Vec<c_int> = fds[1..]
            .iter()
            .filter(|entry| entry.revents != 0)
            .map(|entry| entry.fd)
            .collect();
        for waker in reactor.take(&readable) {
            waker.wake();
        }
    }
}
