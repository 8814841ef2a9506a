//! Errors, and the memory into which the library writes them.

use std::cell::RefCell;
use std::ffi::{c_char, CStr};
use std::fmt;

use sidecall_sys as sys;

use crate::names::Code;
use crate::record::MAX_FAULTS;

/// The result of every function that can fail.
pub type Result<T> = std::result::Result<T, Error>;

macro_rules! codes {
    ($code:ident { $($(#[$doc:meta])* $name:ident = $constant:ident,)* }) => {
        /// What kind of error it is. Part 7 of `sidecall.h` describes each.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $code {
            $($(#[$doc])* $name,)*
            /// A status that this version of the crate does not know.
            Other(i32),
        }

        impl $code {
            pub(crate) fn of(status: i32) -> Self {
                match status {
                    $(sys::$constant => Self::$name,)*
                    other => Self::Other(other),
                }
            }

            /// The number of the status in the C interface.
            pub fn status(self) -> i32 {
                match self {
                    $(Self::$name => sys::$constant,)*
                    Self::Other(status) => status,
                }
            }
        }
    };
}

pub(crate) use codes;

/// Groups the codes of errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Family {
    /// The program used the library in a wrong way.
    Usage,
    /// The file cannot be read.
    File,
    /// The model cannot be used.
    Model,
    /// The data do not fit the model.
    Data,
    /// The connection to another process failed.
    Channel,
    /// The engine failed.
    Engine,
    /// A bug of sidecall.
    Internal,
}

impl Code {
    /// The group of this code.
    pub fn family(self) -> Family {
        match self.status() / 10 {
            1 => Family::Usage,
            2 => Family::File,
            3 => Family::Model,
            4 => Family::Data,
            5 => Family::Channel,
            6 => Family::Engine,
            _ => Family::Internal,
        }
    }

    /// The name of the code as every language spells it: `"DTYPE_MISMATCH"`.
    pub fn name(self) -> &'static str {
        // SAFETY: the function returns a static text for every number.
        unsafe { CStr::from_ptr(sys::sidecall_status_name(self.status())) }
            .to_str()
            .unwrap_or("UNKNOWN")
    }
}

/// The name of the code.
impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What is wrong with one value, or with one row that the model refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fault {
    /// What kind of fault it is.
    pub code: Code,
    /// The row, from 0; `None` if it concerns no particular row.
    pub row: Option<usize>,
    /// The feature, input, output, column or step of the model; `""` for none.
    pub name: String,
    /// The type, shape or other property that was expected.
    pub expected: String,
    /// What was found in its place; never a value of the data.
    pub got: String,
    /// One line that says all of this, except the row.
    pub message: String,
}

#[derive(Clone)]
struct Record {
    code: Code,
    retryable: bool,
    row: Option<usize>,
    name: String,
    expected: String,
    got: String,
    message: String,
    num_faults: usize,
    faults: Vec<Fault>,
}

/// Why a function failed: a code, one line of text, and for a run every fault of every row.
///
/// `{}` prints the text, and `{:?}`, which a `main` that returns an error prints, the code before
/// it.
#[derive(Clone)]
pub struct Error(Box<Record>);

impl Error {
    /// What kind of error it is.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// One line that says what is wrong, as `{}` prints it.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Whether the same function may succeed later.
    pub fn is_retryable(&self) -> bool {
        self.0.retryable
    }

    /// The row of the first fault, from 0.
    pub fn row(&self) -> Option<usize> {
        self.0.row
    }

    /// The feature, column or other thing that the first fault is about; `""` for none.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// What was expected there.
    pub fn expected(&self) -> &str {
        &self.0.expected
    }

    /// What was found in its place; never a value of the data.
    pub fn got(&self) -> &str {
        &self.0.got
    }

    /// All faults of a run, sorted by row; at most 1000. Other functions give at most one.
    pub fn faults(&self) -> &[Fault] {
        &self.0.faults
    }

    /// How many faults there were, including those that were not kept.
    pub fn num_faults(&self) -> usize {
        self.0.num_faults
    }

    /// An error that this crate finds before it calls the library.
    pub(crate) fn usage(message: &str) -> Self {
        Self(Box::new(Record {
            code: Code::InvalidArgument,
            retryable: false,
            row: None,
            name: String::new(),
            expected: String::new(),
            got: String::new(),
            message: message.to_owned(),
            num_faults: 0,
            faults: Vec::new(),
        }))
    }

    /// The same with another code.
    pub(crate) fn with_code(code: Code, message: &str) -> Self {
        let mut error = Self::usage(message);
        error.0.code = code;
        error.0.retryable = code == Code::OutOfMemory;
        error
    }

    pub(crate) fn not_run() -> Self {
        Self::with_code(
            Code::NotRun,
            "outputs: expected a successful run before they are read, got none",
        )
    }

    pub(crate) fn nothing_to_finish() -> Self {
        Self::with_code(
            Code::NotRun,
            "finish: expected a started run whose outcome is still to be taken, got none",
        )
    }

    pub(crate) fn wrong_type(name: &str, expected: &str, got: &str) -> Self {
        let message = format!("column '{name}': expected {expected}, got {got}");
        Self::with_code(Code::DtypeMismatch, &message).about(name, expected, got)
    }

    pub(crate) fn about(mut self, name: &str, expected: &str, got: &str) -> Self {
        self.0.name = name.to_owned();
        self.0.expected = expected.to_owned();
        self.0.got = got.to_owned();
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code(), self.message())
    }
}

impl std::error::Error for Error {}

fn text_of(field: &[c_char]) -> String {
    let bytes: Vec<u8> = field
        .iter()
        .take_while(|&&c| c != 0)
        .map(|&c| c as u8)
        .collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn row_of(row: i64) -> Option<usize> {
    usize::try_from(row).ok()
}

/// The memory into which the library writes errors. It is reused, so that success costs nothing.
pub(crate) struct Room {
    error: Box<sys::sidecall_error>,
    faults: Vec<sys::sidecall_fault>,
}

impl Room {
    /// `max_faults`: how many faults it can receive.
    pub(crate) fn new(max_faults: usize) -> Self {
        // SAFETY: all zeros is a valid sidecall_error.
        let mut error: Box<sys::sidecall_error> = Box::new(unsafe { std::mem::zeroed() });
        error.struct_size = std::mem::size_of::<sys::sidecall_error>() as u32;
        let mut faults = Vec::with_capacity(max_faults);
        if max_faults > 0 {
            error.faults = faults.as_mut_ptr();
            error.faults_capacity = max_faults as u32;
        }
        Self { error, faults }
    }

    /// Calls a function of the library, and returns the error that it reports.
    pub(crate) fn check(
        &mut self,
        function: impl FnOnce(*mut sys::sidecall_error) -> i32,
    ) -> Result<()> {
        match function(&mut *self.error) {
            sys::SIDECALL_OK => Ok(()),
            status => Err(self.take(status)),
        }
    }

    #[cold]
    fn take(&mut self, status: i32) -> Error {
        let held = self.error.num_faults.min(self.error.faults_capacity) as usize;
        // SAFETY: the library has filled so many elements of the array behind this pointer.
        let faults = unsafe { std::slice::from_raw_parts(self.faults.as_ptr(), held) };
        Error(Box::new(Record {
            code: Code::of(status),
            retryable: self.error.retryable != 0,
            row: row_of(self.error.row),
            name: text_of(&self.error.name),
            expected: text_of(&self.error.expected),
            got: text_of(&self.error.got),
            message: text_of(&self.error.message),
            num_faults: self.error.num_faults as usize,
            faults: faults
                .iter()
                .map(|fault| Fault {
                    code: Code::of(fault.status),
                    row: row_of(fault.row),
                    name: text_of(&fault.name),
                    expected: text_of(&fault.expected),
                    got: text_of(&fault.got),
                    message: text_of(&fault.message),
                })
                .collect(),
        }))
    }
}

thread_local! {
    static ROOM: RefCell<Room> = RefCell::new(Room::new(MAX_FAULTS));
}

/// Calls a function that belongs to no call, with memory for its error that this thread reuses.
#[inline]
pub(crate) fn check(function: impl FnOnce(*mut sys::sidecall_error) -> i32) -> Result<()> {
    match ROOM.try_with(std::ptr::from_ref) {
        // SAFETY: it is this thread's, which cannot end before this function returns.
        Ok(room) => unsafe { &*room }.borrow_mut().check(function),
        // The thread is ending, and its memory for errors is gone.
        Err(_) => Room::new(1).check(function),
    }
}
