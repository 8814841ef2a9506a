//! The runs that were started: one completion queue of the library for the whole process.
//!
//! The thread that takes the completion of a run notes it in `State` and wakes the task of the run;
//! each task reads its own answer. Three kinds of threads take:
//!
//! - A task that polls takes what is there, for all tasks, and does not wait.
//! - The thread `sidecall-runs` waits for the runs of the tasks that sleep, but leaves the queue to
//!   the tasks that poll: otherwise each submit would have to wake it.
//! - A thread that waits for one run (`Call::finish`, or a future that is dropped) takes only this.
//!
//! Wakers run code of the program. So they are cloned, dropped and woken only while no lock is
//! held, and a panic in one of them does not end the thread.

use std::collections::HashMap;
use std::io;
use std::mem::{size_of, MaybeUninit};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::ptr;
use std::sync::atomic::{AtomicI64, AtomicPtr, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::task::Waker;
use std::time::{Duration, Instant};

use sidecall_sys as sys;

use crate::error::check;
use crate::Result;

/// How many completions are taken at once.
const MOST: usize = 64;

/// If no task has polled for so long, the thread takes again, in case their executor is busy.
const GRACE: Duration = Duration::from_micros(500);

type Room = [MaybeUninit<sys::sidecall_completion>; MOST];

/// How far a run has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Progress {
    UnderWay,
    /// It has an outcome, but the engine of this process still uses its memory.
    Held,
    Over,
}

struct Entry {
    progress: Progress,
    /// Of a task that sleeps until the run has an outcome.
    waker: Option<Waker>,
    /// `State::num_looks` when its task polled last.
    num_looks: Option<u64>,
}

#[derive(Default)]
struct State {
    entries: HashMap<u64, Entry>,
    last_tag: u64,
    /// The entries that have a waker.
    num_asleep: usize,
    /// The threads that wait for `Runs::noted`.
    num_waiting: usize,
    /// How often tasks that poll have taken.
    num_looks: u64,
    /// When a task polled last; `None` if it has given up since.
    polled_at: Option<Instant>,
    has_thread: bool,
    /// The thread is taking.
    is_taking: bool,
}

/// The runs of this process. They are never dropped, because the program may end at any time.
struct Runs {
    /// The process that opened the queue: a child of fork() needs its own.
    process: u32,
    queue: *mut sys::sidecall_queue,
    state: Mutex<State>,
    /// The thread may have to take.
    work: Condvar,
    /// Completions were noted.
    noted: Condvar,
    /// For how long a task polls; 0 if the library has not said so yet.
    polling_ns: AtomicI64,
}

// SAFETY: "Any thread may use a queue at any time." (sidecall.h)
unsafe impl Send for Runs {}
// SAFETY: see above.
unsafe impl Sync for Runs {}

/// Partner: `Runs::current` stores with release what other threads load with acquire.
static CURRENT: AtomicPtr<Runs> = AtomicPtr::new(ptr::null_mut());

impl Runs {
    fn current() -> Result<&'static Self> {
        let known = CURRENT.load(Ordering::Acquire);
        // SAFETY: the pointer is null, or of a value that is never dropped.
        match unsafe { known.as_ref() } {
            Some(runs) if !runs.is_inherited() => Ok(runs),
            _ => Self::open(known),
        }
    }

    fn open(known: *mut Self) -> Result<&'static Self> {
        let mut queue = ptr::null_mut();
        // SAFETY: `queue` and `err` are valid during the call.
        check(|err| unsafe { sys::sidecall_queue_open(ptr::null(), &mut queue, err) })?;
        let opened = Box::into_raw(Box::new(Self {
            process: std::process::id(),
            queue,
            state: Mutex::default(),
            work: Condvar::new(),
            noted: Condvar::new(),
            polling_ns: AtomicI64::new(0),
        }));
        match CURRENT.compare_exchange(known, opened, Ordering::AcqRel, Ordering::Acquire) {
            // SAFETY: it is never dropped.
            Ok(_) => Ok(unsafe { &*opened }),
            Err(theirs) => {
                // SAFETY: no other thread has seen what was opened here, and nothing drops theirs.
                unsafe {
                    sys::sidecall_queue_close(queue);
                    drop(Box::from_raw(opened));
                    Ok(&*theirs)
                }
            }
        }
    }

    fn is_inherited(&self) -> bool {
        self.process != std::process::id()
    }

    /// `None` in a child of fork(), if a thread of the parent held the lock.
    fn lock(&self) -> Option<MutexGuard<'_, State>> {
        match self.state.try_lock() {
            Ok(state) => Some(state),
            Err(TryLockError::WouldBlock) if self.is_inherited() => None,
            _ => Some(self.state.lock().unwrap_or_else(PoisonError::into_inner)),
        }
    }

    /// Takes completions of this run, or of any for 0. Fails with the status of the library.
    fn take<'r>(
        &self,
        number: u64,
        wait_ns: i64,
        room: &'r mut Room,
    ) -> std::result::Result<&'r [sys::sidecall_completion], i32> {
        let mut count = 0;
        let first = room.as_mut_ptr().cast::<sys::sidecall_completion>();
        // SAFETY: the queue is open, and `room` has so many structs of this size. The library fills
        // the first `count` of them.
        unsafe {
            let size = size_of::<sys::sidecall_completion>();
            let (most, err) = (MOST as i64, ptr::null_mut());
            match sys::sidecall_queue_take(
                self.queue, number, first, size, most, wait_ns, &mut count, err,
            ) {
                sys::SIDECALL_OK => Ok(std::slice::from_raw_parts(first, count as usize)),
                status => Err(status),
            }
        }
    }

    /// Notes completions. Returns the tasks to wake, once the lock is released.
    fn note(&self, state: &mut State, done: &[sys::sidecall_completion]) -> Vec<Waker> {
        let mut tasks = Vec::new();
        for completion in done {
            // The call may be closed by now.
            let Some(entry) = state.entries.get_mut(&completion.tag) else {
                continue;
            };
            entry.progress = match completion.flags as i32 & sys::SIDECALL_HELD {
                0 => Progress::Over,
                _ => Progress::Held,
            };
            tasks.extend(entry.waker.take());
        }
        state.num_asleep -= tasks.len();
        if state.num_waiting > 0 {
            self.noted.notify_all();
        }
        tasks
    }

    /// The thread.
    fn serve(&self) {
        let mut room = [MaybeUninit::uninit(); MOST];
        loop {
            let Some(state) = self.lock() else { return };
            drop(self.await_sleeper(state));
            let done = self.take(0, -1, &mut room);
            if done.is_err() {
                std::thread::sleep(Duration::from_millis(10));
            }
            let Some(mut state) = self.lock() else { return };
            state.is_taking = false;
            let tasks = self.note(&mut state, done.unwrap_or_default());
            drop(state);
            wake(tasks);
        }
    }

    /// Waits until tasks sleep and none polls.
    fn await_sleeper<'s>(&'s self, mut state: MutexGuard<'s, State>) -> MutexGuard<'s, State> {
        loop {
            let is_polled = |at: Instant| at.elapsed() < GRACE;
            state = if state.num_asleep == 0 {
                let waited = self.work.wait(state);
                waited.unwrap_or_else(PoisonError::into_inner)
            } else if state.polled_at.is_some_and(is_polled) {
                let waited = self.work.wait_timeout(state, GRACE);
                waited.unwrap_or_else(PoisonError::into_inner).0
            } else {
                state.is_taking = true;
                return state;
            }
        }
    }
}

fn wake(tasks: Vec<Waker>) {
    for waker in tasks {
        let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
    }
}

/// A run that was submitted to the queue. It must be dropped after its call was closed, or after
/// [`Run::wait`] has returned [`Progress::Over`].
pub(crate) struct Run {
    runs: &'static Runs,
    /// What completions of this run are found by.
    tag: u64,
    /// What the queue calls it.
    number: u64,
}

impl Run {
    /// # Safety
    ///
    /// `call` is open, and no other thread uses it.
    pub(crate) unsafe fn submit(call: *mut sys::sidecall_call, timeout_ns: i64) -> Result<Self> {
        let runs = Runs::current()?;
        let mut state = runs.lock().expect("the queue belongs to this process");
        state.last_tag += 1;
        let tag = state.last_tag;
        let entry = Entry {
            progress: Progress::UnderWay,
            waker: None,
            num_looks: None,
        };
        state.entries.insert(tag, entry);
        drop(state);
        let mut run = Self {
            runs,
            tag,
            number: 0,
        };
        // SAFETY: the queue is open, and so is the call; `number` and `err` are valid.
        check(|err| unsafe {
            sys::sidecall_queue_submit(runs.queue, call, timeout_ns, tag, &mut run.number, err)
        })?;
        Ok(run)
    }

    /// Whether it belongs to the parent of this process.
    pub(crate) fn is_inherited(&self) -> bool {
        self.runs.is_inherited()
    }

    /// For how long its task polls, at most, if another process runs the model.
    pub(crate) fn polling_time(&self) -> Duration {
        let mut ns = self.runs.polling_ns.load(Ordering::Relaxed);
        if ns == 0 {
            // SAFETY: the queue is open; `ns` is valid during the call. If it gets armed, the
            // thread, which now has to wait, disarms it.
            unsafe { sys::sidecall_queue_arm(self.runs.queue, &mut ns, ptr::null_mut()) };
            ns = ns.max(0);
            self.runs.polling_ns.store(ns, Ordering::Relaxed);
        }
        Duration::from_nanos(ns.unsigned_abs())
    }

    /// Asks the run to end with CANCELLED.
    pub(crate) fn cancel(&self) {
        // SAFETY: the queue is open; any thread may cancel.
        unsafe { sys::sidecall_queue_cancel(self.runs.queue, self.number) };
    }

    /// Waits until the run has come so far, but not longer than `wait_ns` (-1: as long as it
    /// takes). In a child of fork(), the runs of the parent are over.
    pub(crate) fn wait(&self, least: Progress, wait_ns: i64) -> Progress {
        let mut room = [MaybeUninit::uninit(); MOST];
        loop {
            let Some(state) = self.runs.lock() else {
                return Progress::Over;
            };
            let progress = state.entries[&self.tag].progress;
            drop(state);
            if progress >= least {
                return progress;
            }
            match self.runs.take(self.number, wait_ns, &mut room) {
                Ok([]) => return progress,
                Ok(done) => {
                    let noted = self
                        .runs
                        .lock()
                        .map(|mut state| self.runs.note(&mut state, done));
                    wake(noted.unwrap_or_default());
                }
                Err(sys::SIDECALL_NOT_RUN) => self.await_note(least),
                Err(_) => return Progress::Over,
            }
        }
    }

    /// Waits for the thread that has taken the completion, and is about to note it.
    fn await_note(&self, least: Progress) {
        let Some(mut state) = self.runs.lock() else {
            return;
        };
        state.num_waiting += 1;
        while state.entries[&self.tag].progress < least {
            let waited = self.runs.noted.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
        state.num_waiting -= 1;
    }

    /// Whether the run has an outcome. If not, the task is woken when it should look again: at once
    /// while it polls, and else when there is an outcome.
    ///
    /// `polls_at`: the present time if the task polls.
    pub(crate) fn poll(&self, polls_at: Option<Instant>, waker: &Waker) -> bool {
        if polls_at.is_none() {
            return match self.sleep(waker) {
                Ok(has_outcome) => has_outcome,
                // Without a thread, the task goes on waking itself.
                Err(_) => {
                    waker.wake_by_ref();
                    self.wait(Progress::Held, 0) != Progress::UnderWay
                }
            };
        }
        let Some(mut state) = self.runs.lock() else {
            return true;
        };
        state.polled_at = polls_at;
        let mut tasks = Vec::new();
        let entry = &state.entries[&self.tag];
        let is_seen = entry.num_looks != Some(state.num_looks);
        // Once a turn of the executor is enough: many tasks may poll, and one takes for all.
        if entry.progress == Progress::UnderWay && !is_seen && !state.is_taking {
            let mut room = [MaybeUninit::uninit(); MOST];
            match self.runs.take(0, 0, &mut room) {
                Ok(done) => tasks = self.runs.note(&mut state, done),
                Err(_) => return true, // in a child of fork()
            }
            state.num_looks += 1;
        }
        let num_looks = state.num_looks;
        let entry = state.entries.get_mut(&self.tag).expect("it is under way");
        entry.num_looks = Some(num_looks);
        let has_outcome = entry.progress != Progress::UnderWay;
        drop(state);
        wake(tasks);
        if !has_outcome {
            waker.wake_by_ref();
        }
        has_outcome
    }

    /// Lets the thread wake the task. Returns whether the run has an outcome by now.
    fn sleep(&self, waker: &Waker) -> io::Result<bool> {
        let waker = waker.clone();
        let runs = self.runs;
        if runs.is_inherited() {
            return Ok(true);
        }
        let mut state = runs.lock().expect("the queue belongs to this process");
        if !state.has_thread {
            let thread = std::thread::Builder::new().name("sidecall-runs".to_owned());
            thread.spawn(move || runs.serve())?;
            state.has_thread = true;
        }
        let entry = state.entries.get_mut(&self.tag).expect("it is under way");
        if entry.progress != Progress::UnderWay {
            drop(state);
            return Ok(true);
        }
        let has_polled = entry.num_looks.is_some();
        let replaced = entry.waker.replace(waker);
        state.num_asleep += usize::from(replaced.is_none());
        if has_polled {
            state.polled_at = None;
        }
        if !state.is_taking {
            runs.work.notify_one();
        }
        drop(state);
        drop(replaced);
        Ok(false)
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let Some(mut state) = self.runs.lock() else {
            return;
        };
        let entry = state.entries.remove(&self.tag);
        if entry.as_ref().is_some_and(|entry| entry.waker.is_some()) {
            state.num_asleep -= 1;
        }
        drop(state);
        drop(entry);
    }
}
