//! A call: values, runs and tensors in the memory of a workspace.

use std::cell::{Cell, OnceCell, RefCell};
use std::fmt;
use std::ptr::{self, NonNull};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;
use std::time::Duration;

use sidecall_sys as sys;

use crate::error::{check, Room};
use crate::options::{deadline, nanoseconds};
use crate::record::MAX_FAULTS;
use crate::running::{Canceller, Running};
use crate::runs::{Progress, Run};
use crate::{
    Code, Column, Element, Error, Feature, FromValue, InPlace, Input, Model, Output, Result,
    Tensor, Value, View, ViewMut,
};

/// The handle of the library.
#[derive(Clone, Copy)]
pub(crate) struct Handle(pub(crate) NonNull<sys::sidecall_call>);

// SAFETY: "A call belongs to one thread at a time" (sidecall.h), which may be another one each
// time.
unsafe impl Send for Handle {}

/// The handle as cancellers see it: `None` after the call was closed. The call cannot be closed
/// while a canceller holds the lock.
pub(crate) type Shared = Arc<Mutex<Option<Handle>>>;

thread_local! {
    /// Memory for the values of a row.
    static VALUES: Cell<Vec<sys::sidecall_value>> = const { Cell::new(Vec::new()) };
}

/// A reusable workspace: the memory of the inputs and outputs for a number of rows.
///
/// A call belongs to one thread at a time, and may be moved to another one. What it lends cannot be
/// used after the next run:
///
/// ```compile_fail
/// # fn f(call: &mut sidecall::Call, label: sidecall::Column) -> sidecall::Result<()> {
/// let text = call.str_at(0, label)?;
/// call.run()?;
/// println!("{text}"); // the text belonged to the earlier run
/// # Ok(())
/// # }
/// ```
pub struct Call {
    handle: Handle,
    /// Memory for errors. `None` for a call that belongs to the model, which gets it back: it uses
    /// that of the thread, because its own would cost more than a run.
    room: Option<RefCell<Room>>,
    shared: OnceCell<Shared>,
    /// The run that was started, while it is under way or held.
    run: Option<Run>,
    /// The outcome of the run was taken, but the engine still uses its memory.
    is_held: bool,
    /// The task of the last asynchronous run polled for too short a time.
    pub(crate) has_missed: bool,
    model: Model,
}

// SAFETY: see Handle. The pointers in `room` are to memory that it owns.
unsafe impl Send for Call {}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("model", &self.model)
            .field("rows", &self.rows())
            .finish()
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.get() {
            *shared.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        // SAFETY: the handle and the model are open, and no Canceller can use the call any more.
        unsafe {
            if self.room.is_none() {
                sys::sidecall_model_give_call(self.model.raw(), self.raw());
            } else {
                sys::sidecall_call_close(self.raw());
            }
        }
    }
}

impl Call {
    /// `is_lent`: takes a call that the model keeps, or a new one that connects when it first runs.
    pub(crate) fn open(model: &Model, rows: usize, is_lent: bool) -> Result<Self> {
        let mut handle = ptr::null_mut();
        let open = if is_lent {
            sys::sidecall_model_take_call
        } else {
            sys::sidecall_call_open
        };
        // SAFETY: the model is open; `handle` and `err` are valid during the call.
        check(|err| unsafe { open(model.raw(), as_i64(rows), &mut handle, err) })?;
        let handle = NonNull::new(handle).expect("the library gives a handle after success");
        Ok(Self {
            handle: Handle(handle),
            room: (!is_lent).then(|| RefCell::new(Room::new(MAX_FAULTS))),
            shared: OnceCell::new(),
            run: None,
            is_held: false,
            has_missed: false,
            model: model.clone(),
        })
    }

    fn raw(&self) -> *mut sys::sidecall_call {
        self.handle.0.as_ptr()
    }

    /// Calls a function that changes inputs. After a timeout or a cancelled run, it first waits
    /// until the engine of this process no longer uses the memory of that run.
    pub(crate) fn change(
        &mut self,
        function: impl FnOnce(*mut sys::sidecall_call, *mut sys::sidecall_error) -> i32,
    ) -> Result<()> {
        self.await_release(-1);
        self.check(function)
    }

    /// Waits until the engine no longer uses the memory of a run whose outcome was taken.
    fn await_release(&mut self, wait_ns: i64) {
        if self.is_held && self.is_released(wait_ns) {
            self.is_held = false;
            self.run = None;
        }
    }

    fn is_released(&self, wait_ns: i64) -> bool {
        let run = self.run.as_ref();
        run.map_or(true, |run| {
            run.wait(Progress::Over, wait_ns) == Progress::Over
        })
    }

    /// Calls a function of the library with this call.
    pub(crate) fn check(
        &self,
        function: impl FnOnce(*mut sys::sidecall_call, *mut sys::sidecall_error) -> i32,
    ) -> Result<()> {
        match &self.room {
            Some(room) => room.borrow_mut().check(|err| function(self.raw(), err)),
            None => check(|err| function(self.raw(), err)),
        }
    }

    /// The model of this call.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        // SAFETY: the call is open.
        usize::try_from(unsafe { sys::sidecall_call_rows(self.raw()) }).unwrap_or(0)
    }

    /// Sets the number of rows. All inputs must be given again.
    ///
    /// # Errors
    ///
    /// [`Code::InvalidArgument`] for 0 rows.
    pub fn resize(&mut self, rows: usize) -> Result<()> {
        // SAFETY: the call is open, and no view of it exists, because it is borrowed mutably.
        self.change(|call, err| unsafe { sys::sidecall_call_resize(call, as_i64(rows), err) })
    }

    /// Begins the next records: makes every feature of every row missing.
    ///
    /// # Errors
    ///
    /// [`Code::NoContract`].
    pub fn clear(&mut self) -> Result<()> {
        // SAFETY: as in resize().
        self.change(|call, err| unsafe { sys::sidecall_call_clear(call, err) })
    }

    /// Forgets which inputs were given.
    ///
    /// # Errors
    ///
    /// [`Code::Busy`].
    pub fn reset(&mut self) -> Result<()> {
        // SAFETY: as in resize().
        self.change(|call, err| unsafe { sys::sidecall_call_reset(call, err) })
    }

    /// Sets one feature of one row.
    ///
    /// A refused value is remembered, and the run reports it together with all others.
    ///
    /// # Errors
    ///
    /// Those of `sidecall_call_set_f64`.
    pub fn set<'v>(
        &mut self,
        row: usize,
        feature: Feature,
        value: impl Into<Value<'v>>,
    ) -> Result<()> {
        let (value, row, index) = (value.into(), as_i64(row), feature.0);
        // SAFETY: the call is open; a text lives during the call.
        self.change(|call, err| unsafe {
            match value {
                Value::Missing => sys::sidecall_call_set_missing(call, row, index, err),
                Value::F64(number) => sys::sidecall_call_set_f64(call, row, index, number, err),
                Value::I64(number) => sys::sidecall_call_set_i64(call, row, index, number, err),
                Value::Bool(flag) => {
                    sys::sidecall_call_set_bool(call, row, index, flag.into(), err)
                }
                Value::Str(text) => {
                    let (bytes, length) = (text.as_ptr().cast(), text.len());
                    sys::sidecall_call_set_str(call, row, index, bytes, length, err)
                }
                Value::Datetime {
                    seconds,
                    nanoseconds,
                } => sys::sidecall_call_set_datetime(call, row, index, seconds, nanoseconds, err),
                Value::Instant {
                    seconds,
                    nanoseconds,
                } => sys::sidecall_call_set_instant(call, row, index, seconds, nanoseconds, err),
            }
        })
    }

    /// Sets all features of a row, in the order of [`Model::features`].
    ///
    /// # Errors
    ///
    /// The first value that is refused; the others are set, and the run reports all.
    /// [`Code::InvalidArgument`] for another number of values. After another error than a refused
    /// value, runs fail with it too, until [`Call::clear`].
    pub fn set_row(&mut self, row: usize, values: &[Value<'_>]) -> Result<()> {
        self.set_each(row, None, |set| values.iter().copied().for_each(set))
    }

    /// Sets several features of one row; there must be as many values.
    ///
    /// # Errors
    ///
    /// Those of [`Call::set_row`].
    pub fn set_features(
        &mut self,
        row: usize,
        features: &[Feature],
        values: &[Value<'_>],
    ) -> Result<()> {
        self.set_each(row, Some(features), |set| {
            values.iter().copied().for_each(set);
        })
    }

    /// Sets the values that `fill` gives one after the other, of these features or of all.
    pub(crate) fn set_each<'v>(
        &mut self,
        row: usize,
        features: Option<&[Feature]>,
        fill: impl FnOnce(&mut dyn FnMut(Value<'v>)),
    ) -> Result<()> {
        const NOTHING: i32 = 0;
        let mut values = VALUES.take();
        fill(&mut |value: Value<'v>| values.push(value.raw()));
        let (indices, count) = match features {
            None => (ptr::null(), as_i64(values.len())),
            Some([]) if values.is_empty() => (ptr::from_ref(&NOTHING), 0),
            // The library refuses -1.
            Some(named) if named.len() != values.len() => (ptr::from_ref(&NOTHING), -1),
            // A Feature is an i32.
            Some(named) => (named.as_ptr().cast::<i32>(), as_i64(values.len())),
        };
        // SAFETY: the call is open; both arrays have `count` elements, and the texts of the values
        // live for 'v.
        let set = self.change(|call, err| unsafe {
            sys::sidecall_call_set_row(call, as_i64(row), indices, values.as_ptr(), count, err)
        });
        values.clear();
        VALUES.set(values);
        set
    }

    /// Runs the call once, without a deadline for a file, and within the timeout of the server for
    /// a served model (30 seconds by default).
    ///
    /// # Errors
    ///
    /// Those of `sidecall_call_run`, with every fault of every row.
    pub fn run(&mut self) -> Result<()> {
        self.run_for(-1)
    }

    /// Runs the call once, with a deadline. [`Duration::ZERO`] is a deadline that has passed, not
    /// the absence of one: the run ends with [`Code::Timeout`] where it first looks at the clock.
    ///
    /// In this process a deadline is checked between the nodes of the graph, and a run that
    /// completes late still succeeds. For a server it is exact.
    ///
    /// # Errors
    ///
    /// Those of [`Call::run`], and [`Code::Timeout`].
    pub fn run_within(&mut self, timeout: Duration) -> Result<()> {
        self.run_for(deadline(timeout))
    }

    pub(crate) fn run_for(&mut self, timeout_ns: i64) -> Result<()> {
        // SAFETY: as in resize().
        self.change(|call, err| unsafe { sys::sidecall_call_run(call, timeout_ns, err) })
    }

    /// Starts a run and returns before it is over. Until [`Call::finish`] has taken the outcome,
    /// most methods answer [`Code::Busy`]. After [`Code::Timeout`] or [`Code::Cancelled`], methods
    /// that change inputs wait until the engine of this process has stopped.
    ///
    /// # Errors
    ///
    /// Those of `sidecall_queue_submit`, and those of [`Call::run`] that are found at once, such as
    /// an input that is missing; of inputs with more than 8192 elements, [`Call::finish`] gives
    /// these. After an error no run is under way.
    pub fn start(&mut self, timeout: Option<Duration>) -> Result<()> {
        self.submit(timeout)?;
        let has_ended = self.run.as_ref().is_some_and(Run::has_ended_at_once);
        if has_ended && self.outcome().is_err() {
            self.finish(None)?;
        }
        Ok(())
    }

    fn submit(&mut self, timeout: Option<Duration>) -> Result<()> {
        self.await_release(-1);
        // SAFETY: the call is open, and no view of it exists, because it is borrowed mutably. Its
        // memory belongs to the library, which keeps it until the run no longer uses it.
        let run = unsafe { Run::submit(self.raw(), timeout.map_or(-1, deadline)) }?;
        self.run = Some(run);
        Ok(())
    }

    /// Waits for the run that was started, at most for `wait`, and takes its outcome. Returns
    /// `false` if the run is not over yet.
    ///
    /// # Errors
    ///
    /// [`Code::NotRun`] if there is no outcome to take, and those of
    /// [`Call::run`], which are the outcome.
    pub fn finish(&mut self, wait: Option<Duration>) -> Result<bool> {
        let wait_ns = wait.map_or(-1, nanoseconds);
        if self.is_held {
            self.await_release(wait_ns);
            return Err(Error::nothing_to_finish());
        }
        let run = self.run.as_ref().ok_or_else(Error::nothing_to_finish)?;
        match run.wait(Progress::Held, wait_ns) {
            Progress::UnderWay => Ok(false),
            progress => self.end(progress).map(|()| true),
        }
    }

    /// Takes the outcome of the run that was started.
    pub(crate) fn end(&mut self, progress: Progress) -> Result<()> {
        self.is_held = progress == Progress::Held;
        if !self.is_held {
            self.run = None;
        }
        self.outcome()
    }

    fn outcome(&self) -> Result<()> {
        // SAFETY: the call is open.
        let outcome = self.check(|call, err| unsafe { sys::sidecall_call_error(call, err) });
        match outcome {
            // A run never ends with it: a child of fork() asks for a run of its parent.
            Err(error) if error.code() == Code::NotRun => Err(Error::nothing_to_finish()),
            outcome => outcome,
        }
    }

    /// Starts a run and returns a future that ends with its outcome. It needs no runtime: the task
    /// of a model that another process of this host serves wakes itself for up to 100 us
    /// (`SIDECALL_SPIN_US`), so that it looks again after the other tasks; then a thread of this
    /// crate wakes it. Nothing of it blocks the executor, not even connecting. Dropping the future
    /// cancels the run, and waits until the engine of this process has stopped, which it does at
    /// the next node of the graph.
    ///
    /// # Errors
    ///
    /// [`Code::Busy`] if a run of the call is under way; the future gives those of [`Call::run`].
    pub fn run_async(&mut self, timeout: Option<Duration>) -> Result<Running<'_>> {
        self.submit(timeout)?;
        Ok(Running::new(self))
    }

    /// See [`Run::look`].
    pub(crate) fn look(&self, takes: bool) -> Progress {
        let run = self.run.as_ref();
        run.map_or(Progress::Over, |run| run.look(takes))
    }

    /// See [`Run::sleep`].
    pub(crate) fn sleep(&self, waker: &Waker) -> bool {
        self.run.as_ref().is_some_and(|run| run.sleep(waker))
    }

    /// See [`Run::polling_time`].
    pub(crate) fn polling_time(&self) -> Duration {
        self.run.as_ref().map_or(Duration::ZERO, Run::polling_time)
    }

    /// Cancels the run that was started, and waits until nothing uses its memory.
    pub(crate) fn give_up(&mut self) {
        if let Some(run) = &self.run {
            run.cancel();
        }
        let _ = self.finish(None); // the outcome is there at once
        self.await_release(-1);
    }

    /// Whether a run is under way, or the memory of one that was given up is still in use.
    pub fn is_busy(&self) -> bool {
        let Some(run) = &self.run else {
            return false;
        };
        let is_over = run.is_inherited() || (self.is_held && self.is_released(0));
        !is_over
    }

    /// What another thread uses to cancel a run of this call.
    pub fn canceller(&self) -> Canceller {
        let shared = || Arc::new(Mutex::new(Some(self.handle)));
        Canceller::new(self.shared.get_or_init(shared).clone())
    }

    /// Reads one column of one row after a successful run.
    ///
    /// # Errors
    ///
    /// [`Code::NotRun`], [`Code::InvalidArgument`]
    /// if the row is out of range, [`Code::DtypeMismatch`] if the
    /// column has another type than `T`.
    pub fn get<T: FromValue>(&self, row: usize, column: Column) -> Result<T> {
        let value = self.value(row, column)?;
        let read = T::from_value(value).filter(|_| T::reads(self.model.column_dtype(column)));
        read.ok_or_else(|| {
            let spec = self.model.column_spec(column);
            Error::wrong_type(spec.name, T::EXPECTED, value.type_name())
        })
    }

    /// The text in one column of one row. Unlike [`Call::get`], it copies nothing.
    ///
    /// # Errors
    ///
    /// Those of [`Call::get`].
    pub fn str_at(&self, row: usize, column: Column) -> Result<&str> {
        match self.value(row, column)? {
            Value::Str(text) => Ok(text),
            other => Err(Error::wrong_type(
                self.model.column_spec(column).name,
                "string",
                other.type_name(),
            )),
        }
    }

    /// One column of one row, of any type.
    ///
    /// # Errors
    ///
    /// Those of [`Call::get`], except for the type.
    pub fn value(&self, row: usize, column: Column) -> Result<Value<'_>> {
        let mut raw = Value::Missing.raw();
        // SAFETY: the call is open; one index and one value are valid during the call.
        self.check(|call, err| unsafe {
            sys::sidecall_call_get_row(call, as_i64(row), &column.0, &mut raw, 1, err)
        })?;
        Ok(match raw.kind {
            sys::SIDECALL_VALUE_F64 => Value::F64(raw.f64_),
            sys::SIDECALL_VALUE_I64 => Value::I64(raw.i64_),
            sys::SIDECALL_VALUE_BOOL => Value::Bool(raw.i64_ != 0),
            sys::SIDECALL_VALUE_STR => Value::Str(if raw.length == 0 {
                ""
            } else {
                // SAFETY: the text lives until the next run, which needs the call mutably. A model
                // answers what it was given or learned, and both are UTF-8; it is checked anyway.
                let bytes =
                    unsafe { std::slice::from_raw_parts(raw.text.cast::<u8>(), raw.length) };
                std::str::from_utf8(bytes).map_err(|_| {
                    let name = self.model.column_spec(column).name;
                    let message = format!(
                        "column '{name}': expected UTF-8: the model returned invalid UTF-8"
                    );
                    Error::with_code(Code::InvalidString, &message)
                })?
            }),
            _ => Value::Missing,
        })
    }

    /// Gives an input a whole tensor, with its shape, by copying it.
    ///
    /// # Errors
    ///
    /// Those of `sidecall_call_copy_input`.
    pub fn copy_input(&mut self, input: Input, tensor: Tensor<'_>) -> Result<()> {
        let view = tensor.view()?;
        // SAFETY: the call is open; the view and its memory are valid during the call.
        self.change(|call, err| unsafe { sys::sidecall_call_copy_input(call, input.0, &view, err) })
    }

    /// The memory of an input, which the engine reads in place. The input counts as given.
    ///
    /// # Errors
    ///
    /// [`Code::Busy`].
    pub fn input(&mut self, input: Input) -> Result<ViewMut<'_>> {
        let mut view = empty_view();
        // SAFETY: the call is open; the struct is valid during the call.
        self.change(|call, err| unsafe {
            sys::sidecall_call_input(call, input.0, &mut view, err)
        })?;
        // SAFETY: the memory belongs to the call, which stays mutably borrowed.
        Ok(unsafe { ViewMut::new(view) })
    }

    /// Prepares runs with one input that is written in place and one output that is read in place.
    /// That is the fastest way to call a model, because nothing is looked up for a run:
    ///
    /// ```no_run
    /// # fn f(model: &sidecall::Model, rows: &[[f32; 30]]) -> sidecall::Result<()> {
    /// let mut call = model.call(1)?;
    /// let (input, output) = (model.input("X")?, model.output("probabilities")?);
    /// let mut runs = call.in_place::<f32, f32>(input, output)?;
    /// for row in rows {
    ///     runs.input().copy_from_slice(row);
    ///     println!("{}", runs.run()?[1]);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Code::DtypeMismatch`] if a tensor has another type; those of [`Call::input`].
    pub fn in_place<I: Element, O: Element>(
        &mut self,
        input: Input,
        output: Output,
    ) -> Result<InPlace<'_, I, O>> {
        InPlace::new(self, input, output)
    }

    /// The memory of an output after a successful run; before one, its shape.
    ///
    /// # Errors
    ///
    /// [`Code::ShapeMismatch`] if the inputs disagree.
    pub fn output(&self, output: Output) -> Result<View<'_>> {
        let mut view = empty_view();
        // SAFETY: the call is open; the struct is valid during the call.
        self.check(|call, err| unsafe {
            sys::sidecall_call_output(call, output.0, &mut view, err)
        })?;
        // SAFETY: the memory changes with the next run only, which needs the call mutably.
        Ok(unsafe { View::new(view) })
    }
}

/// A number of rows or elements as the C interface takes it.
pub(crate) fn as_i64(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn empty_view() -> sys::sidecall_view {
    sys::sidecall_view {
        struct_size: std::mem::size_of::<sys::sidecall_view>() as u32,
        dtype: 0,
        rank: 0,
        flags: 0,
        dims: ptr::null(),
        data: ptr::null_mut(),
        data_bytes: 0,
        offsets: ptr::null(),
    }
}
