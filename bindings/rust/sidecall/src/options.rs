//! How a model is opened.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use sidecall_sys as sys;

use crate::{Error, Result};

/// What happens at open if golden rows give other answers than at export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Verify {
    /// Opening fails.
    #[default]
    Error,
    /// Opening succeeds, and [`Model::warning`](crate::Model::warning) gives the reason.
    Warn,
    /// Golden rows do not run.
    Off,
}

/// What happens to a record that has a feature that the model does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Extra {
    /// The record is refused.
    #[default]
    Error,
    /// Such features are skipped.
    Ignore,
}

/// Which engine runs a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Engine {
    /// The native engine if the export proved the file on it, otherwise ONNX Runtime.
    #[default]
    Auto,
    /// sidecall's own engine.
    Native,
    /// ONNX Runtime.
    OnnxRuntime,
}

/// How a model is opened: [`Options::default`] and its methods, then
/// [`Model::open_with`](crate::Model::open_with).
#[derive(Debug, Clone, Default)]
pub struct Options {
    verify: Verify,
    extra: Extra,
    engine: Engine,
    allow_exec: bool,
    timeout: Option<Duration>,
    wait: Option<Duration>,
    onnxruntime: Option<PathBuf>,
}

impl Options {
    /// What happens if golden rows give other answers than at export.
    pub fn verify(mut self, verify: Verify) -> Self {
        self.verify = verify;
        self
    }

    /// What happens to features that the model does not know.
    pub fn extra(mut self, extra: Extra) -> Self {
        self.extra = extra;
        self
    }

    /// Which engine runs the file.
    pub fn engine(mut self, engine: Engine) -> Self {
        self.engine = engine;
        self
    }

    /// Allows `exec:` URIs, which start a program.
    pub fn allow_exec(mut self, allowed: bool) -> Self {
        self.allow_exec = allowed;
        self
    }

    /// The deadline of [`Model::predict_json`](crate::Model::predict_json) and of the methods of a
    /// [`Predictor`](crate::Predictor) that take none. Without it, a file has none and a server 30
    /// seconds. It does not hold for [`Call::run`](crate::Call::run).
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// How long to wait for a server to start. Without it, opening does not wait.
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = Some(wait);
        self
    }

    /// The path of the ONNX Runtime library. Without it, the library is searched.
    pub fn onnxruntime(mut self, path: impl Into<PathBuf>) -> Self {
        self.onnxruntime = Some(path.into());
        self
    }

    /// Calls `open` with the struct of the C interface.
    pub(crate) fn with_raw<T>(
        &self,
        open: impl FnOnce(&sys::sidecall_model_options) -> Result<T>,
    ) -> Result<T> {
        let path = match &self.onnxruntime {
            None => None,
            Some(path) => Some(CString::new(path.as_os_str().as_bytes()).map_err(|_| {
                Error::usage("onnxruntime: expected a path without NUL, got one with a NUL")
            })?),
        };
        // SAFETY: all zeros is a valid struct, which the library then fills with the defaults.
        let mut raw: sys::sidecall_model_options = unsafe { std::mem::zeroed() };
        let size = std::mem::size_of_val(&raw);
        // SAFETY: the pointer and the size are those of the struct.
        unsafe { sys::sidecall_model_options_init_sized(&mut raw, size) };
        raw.verify = match self.verify {
            Verify::Error => sys::SIDECALL_VERIFY_ERROR,
            Verify::Warn => sys::SIDECALL_VERIFY_WARN,
            Verify::Off => sys::SIDECALL_VERIFY_OFF,
        };
        raw.extra = match self.extra {
            Extra::Error => sys::SIDECALL_EXTRA_ERROR,
            Extra::Ignore => sys::SIDECALL_EXTRA_IGNORE,
        };
        raw.engine = match self.engine {
            Engine::Auto => sys::SIDECALL_ENGINE_AUTO,
            Engine::Native => sys::SIDECALL_ENGINE_NATIVE,
            Engine::OnnxRuntime => sys::SIDECALL_ENGINE_ONNXRUNTIME,
        };
        raw.allow_exec = self.allow_exec.into();
        if let Some(timeout) = self.timeout {
            raw.timeout_ns = deadline(timeout);
        }
        if let Some(wait) = self.wait {
            raw.wait_ns = nanoseconds(wait);
        }
        if let Some(path) = &path {
            raw.onnxruntime = path.as_ptr();
        }
        open(&raw)
    }
}

/// A deadline as the C interface takes it: one that has passed is the shortest that it knows.
pub(crate) fn deadline(timeout: Duration) -> i64 {
    nanoseconds(timeout).max(1)
}

/// A duration as the C interface takes it; a longer one than int64 can count is cut.
pub(crate) fn nanoseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}
