//! The runs that were started: one completion queue of the library for the whole process.
//!
//! The thread that takes the completion of a run notes it in `State` and wakes the task of the run;
//! each task reads its own answer. Three kinds of threads take:
//!
//! - A task that polls takes what is there, for all tasks, and does not wait.
//! - The thread `sidecall-runs` waits for the runs of the tasks that sleep. While tasks poll, it
//!   leaves the queue to them: if it slept in the queue, each submit would wake it.
//! - A thread that waits for one run (`Call::finish`, or a future that is dropped) takes only this.
//!
//! Wakers run code of the program. So they are cloned, dropped and woken only while no lock is
//! held, and a panic in one of them does not end the thread.

use std::io;
use std::mem::{size_of, MaybeUninit};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::ptr;
use std::sync::atomic::{AtomicI64, AtomicPtr, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::task::Waker;
use std::time::Duration;

use sidecall_sys as sys;

use crate::error::check;
use crate::{Code, Result};

/// How many completions are taken at once.
const MOST: usize = 64;

/// If no task has polled for so long, the thread takes again, in case their executor is busy.
const GRACE: Duration = Duration::from_micros(500);

type Room = [MaybeUninit<sys::sidecall_completion>; MOST];

/// How far a run has come.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Progress {
    UnderWay,
    /// It has an outcome, but the engine of this process still uses its memory.
    Held,
    #[default]
    Over,
}

/// The place of a run. Later runs use it again.
#[derive(Default)]
struct Place {
    /// The tag of the run: the index of the place, and above it how often it was used.
    tag: u64,
    progress: Progress,
    /// Of a task that sleeps until the run has an outcome.
    waker: Option<Waker>,
    /// `State::num_looks` when its task polled last.
    num_looks: Option<u64>,
}

#[derive(Default)]
struct State {
    places: Vec<Place>,
    free: Vec<usize>,
    /// The places that have a waker.
    num_asleep: usize,
    /// The threads that wait for `Runs::noted`.
    num_waiting: usize,
    /// How often tasks that poll have taken.
    num_looks: u64,
    /// A task has polled since the thread asked last.
    is_polled: bool,
    has_thread: bool,
    /// The thread is taking.
    is_taking: bool,
}

const USE: u64 = 1 << 32;

impl State {
    fn add(&mut self) -> u64 {
        let index = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place {
                tag: self.places.len() as u64,
                ..Place::default()
            });
            self.places.len() - 1
        });
        let place = &mut self.places[index];
        place.tag = place.tag.wrapping_add(USE);
        place.progress = Progress::UnderWay;
        place.num_looks = None;
        place.tag
    }

    /// The place of a run, if it was not removed.
    fn find(&mut self, tag: u64) -> Option<&mut Place> {
        let place = self.places.get_mut((tag % USE) as usize)?;
        (place.tag == tag).then_some(place)
    }

    fn progress(&mut self, tag: u64) -> Progress {
        self.find(tag)
            .map_or(Progress::Over, |place| place.progress)
    }

    /// Returns its waker, to be dropped without the lock.
    fn remove(&mut self, tag: u64) -> Option<Waker> {
        let place = self.find(tag)?;
        place.tag = tag.wrapping_add(USE);
        let waker = place.waker.take();
        self.num_asleep -= usize::from(waker.is_some());
        self.free.push((tag % USE) as usize);
        waker
    }
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
        unsafe { known.as_ref() }.map_or_else(|| Self::open(known), Ok)
    }

    /// Opens those of this process, in place of `known`.
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
            let Some(place) = state.find(completion.tag) else {
                continue;
            };
            place.progress = match completion.flags as i32 & sys::SIDECALL_HELD {
                0 => Progress::Over,
                _ => Progress::Held,
            };
            tasks.extend(place.waker.take());
        }
        state.num_asleep -= tasks.len();
        if state.num_waiting > 0 {
            self.noted.notify_all();
        }
        tasks
    }

    /// Starts the thread, if it was not started.
    fn start(&'static self, state: &mut State) -> io::Result<()> {
        if !state.has_thread {
            let thread = std::thread::Builder::new().name("sidecall-runs".to_owned());
            thread.spawn(|| self.serve())?;
            state.has_thread = true;
        }
        Ok(())
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
            state = if state.num_asleep == 0 {
                let waited = self.work.wait(state);
                waited.unwrap_or_else(PoisonError::into_inner)
            } else if std::mem::take(&mut state.is_polled) {
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
        let mut runs = Runs::current()?;
        loop {
            // SAFETY: the caller guarantees it.
            match unsafe { Self::submit_to(runs, call, timeout_ns) } {
                Err(error) if error.code() == Code::Forked && runs.is_inherited() => {
                    runs = Runs::open(ptr::from_ref(runs).cast_mut())?;
                }
                submitted => return submitted,
            }
        }
    }

    /// # Safety
    ///
    /// As for `submit`.
    unsafe fn submit_to(
        runs: &'static Runs,
        call: *mut sys::sidecall_call,
        timeout_ns: i64,
    ) -> Result<Self> {
        let tag = runs.lock().map_or(0, |mut state| state.add());
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
        loop {
            let state = self.runs.lock();
            let progress = state.map_or(Progress::Over, |mut state| state.progress(self.tag));
            if progress >= least || !self.take(least, wait_ns) {
                return progress;
            }
        }
    }

    /// Takes the completion of this run, and notes it. Returns false if there is none after
    /// `wait_ns`.
    fn take(&self, least: Progress, wait_ns: i64) -> bool {
        let mut room = [MaybeUninit::uninit(); MOST];
        let done = self.runs.take(self.number, wait_ns, &mut room);
        if done.is_ok_and(<[_]>::is_empty) {
            return false;
        }
        let Some(mut state) = self.runs.lock() else {
            return true;
        };
        match done {
            Ok(done) => {
                let tasks = self.runs.note(&mut state, done);
                drop(state);
                wake(tasks);
            }
            // Another thread has taken it, and is about to note it.
            Err(sys::SIDECALL_NOT_RUN) => {
                state.num_waiting += 1;
                while state.progress(self.tag) < least {
                    let waited = self.runs.noted.wait(state);
                    state = waited.unwrap_or_else(PoisonError::into_inner);
                }
                state.num_waiting -= 1;
            }
            Err(_) => drop(state.remove(self.tag)), // in a child of fork()
        }
        true
    }

    /// Whether a run that was just submitted has an outcome already.
    pub(crate) fn has_ended_at_once(&self) -> bool {
        self.take(Progress::Held, 0)
    }

    /// How far the run has come. `takes`: takes what is there.
    pub(crate) fn look(&self, takes: bool) -> Progress {
        let Some(mut state) = self.runs.lock() else {
            return Progress::Over;
        };
        let (num_looks, is_taking) = (state.num_looks, state.is_taking);
        let Some(place) = state.find(self.tag) else {
            return Progress::Over;
        };
        if place.progress != Progress::UnderWay || !takes {
            return place.progress;
        }
        // Once in a turn of the executor is enough, because one task takes for all that poll.
        let is_first = place.num_looks == Some(num_looks);
        place.num_looks = Some(num_looks);
        state.is_polled = true;
        if !is_first || is_taking {
            return Progress::UnderWay;
        }
        let mut room = [MaybeUninit::uninit(); MOST];
        let tasks = match self.runs.take(0, 0, &mut room) {
            Ok(done) => self.runs.note(&mut state, done),
            Err(_) => Vec::from_iter(state.remove(self.tag)), // in a child of fork()
        };
        state.num_looks += 1;
        let num_looks = state.num_looks;
        let place = state.find(self.tag);
        let progress = place.map_or(Progress::Over, |place| {
            place.num_looks = Some(num_looks);
            place.progress
        });
        drop(state);
        wake(tasks);
        progress
    }

    /// Lets the thread wake the task when the run has an outcome. Returns false if there is no
    /// thread, or an outcome already: then the task has to look again.
    pub(crate) fn sleep(&self, waker: &Waker) -> bool {
        let waker = waker.clone();
        let runs = self.runs;
        let Some(mut state) = runs.lock().filter(|_| !runs.is_inherited()) else {
            return false;
        };
        if state.progress(self.tag) != Progress::UnderWay || runs.start(&mut state).is_err() {
            drop(state); // before the waker
            return false;
        }
        let place = state.find(self.tag).expect("it is under way");
        let has_polled = place.num_looks.is_some();
        let replaced = place.waker.replace(waker);
        state.num_asleep += usize::from(replaced.is_none());
        state.is_polled &= !has_polled;
        if !state.is_taking {
            runs.work.notify_one();
        }
        drop(state);
        drop(replaced);
        true
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let waker = self.runs.lock().map(|mut state| state.remove(self.tag));
        drop(waker);
    }
}
