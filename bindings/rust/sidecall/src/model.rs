//! A model: opening, what it tells about itself, and its names.

use std::ffi::{c_char, CStr, CString};
use std::fmt;
use std::mem::size_of;
use std::path::Path;
use std::ptr::{self, NonNull};
use std::sync::{Arc, OnceLock};

use sidecall_sys as sys;

use crate::error::check;
use crate::record::{Answer, Predictor, Record};
use crate::{Call, Code, Error, Options, Result};

macro_rules! indices {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        $($(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(transparent)]
        pub struct $name(pub(crate) i32);)*
    };
}

indices! {
    /// A feature of a model: one key of its records. See [`Model::feature`]. Like every index, it
    /// has its meaning in the model that gave it, and in no other.
    Feature,
    /// A column of a model: one value of its answers. See [`Model::column`].
    Column,
    /// An input tensor of a model. See [`Model::input`].
    Input,
    /// An output tensor of a model. See [`Model::output`].
    Output,
}

/// An element type, by its number in ONNX.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Dtype(pub(crate) i32);

impl Dtype {
    /// The type with this number in ONNX (`TensorProto.DataType`).
    pub fn from_number(number: i32) -> Self {
        Self(number)
    }

    /// Its number in ONNX.
    pub fn number(self) -> i32 {
        self.0
    }

    /// The bits of one element: 32 for float32, 4 for int4; 0 for string and datetime.
    pub fn bits(self) -> usize {
        // SAFETY: the function answers every number.
        usize::try_from(unsafe { sys::sidecall_dtype_bits(self.0) }).unwrap_or(0)
    }

    /// Its name, as every language spells it: `"float32"`.
    pub fn name(self) -> &'static str {
        // SAFETY: the function returns a static text for every number.
        unsafe { CStr::from_ptr(sys::sidecall_dtype_name(self.0)) }
            .to_str()
            .unwrap_or("unknown")
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One input or output tensor of the graph.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct TensorSpec<'m> {
    /// Its name.
    pub name: &'m str,
    /// The type of its elements.
    pub dtype: Dtype,
    /// Its sizes; -1 for a free dimension.
    pub dims: &'m [i64],
    /// Whether the first dimension is the number of rows.
    pub has_rows: bool,
}

/// One feature of the contract: a key of a record.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct FeatureSpec<'m> {
    /// Its name.
    pub name: &'m str,
    /// The type of its values.
    pub dtype: Dtype,
    /// Whether the model accepts a missing value.
    pub is_nullable: bool,
    /// Of a datetime: what its tensor counts since 1970: `"s"`, `"ms"`, `"us"` or `"ns"`.
    pub unit: &'m str,
    /// Of a datetime: its time zone; `""` for the time of the wall clock.
    pub zone: &'m str,
}

/// Where the value of a column stands in the answer to a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Form {
    /// `{"label": value}`
    Scalar,
    /// `{"probabilities": {key: value}}`
    Member,
    /// `{"prediction": [value]}`
    Element,
}

/// One column of the outputs.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct ColumnSpec<'m> {
    /// Its name: `"label"`, `"probabilities.fraud"`.
    pub name: &'m str,
    /// The class (`"fraud"`) or the position (`"0"`); `""` for a scalar.
    pub key: &'m str,
    /// The type of its values.
    pub dtype: Dtype,
    /// Where its values stand in the answer.
    pub form: Form,
}

/// The handle of the library, which is closed when the last owner is dropped.
struct Handle {
    model: NonNull<sys::sidecall_model>,
    /// The deadline of the options, which predictors use; -1 for none.
    timeout_ns: i64,
    /// Its runs are in another process of this host, and usually end before a thread is woken.
    is_polled: bool,
}

// SAFETY: "Any number of threads may use a `const sidecall_model *` at once." (sidecall.h)
unsafe impl Send for Handle {}
// SAFETY: see above.
unsafe impl Sync for Handle {}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: the handle is open, and this is its last owner.
        unsafe { sys::sidecall_model_close(self.model.as_ptr()) };
    }
}

/// An open model. A clone is another handle of the same model, and costs nothing.
///
/// Open a model once and keep it. Any number of threads may use it at once.
#[derive(Clone)]
pub struct Model(Arc<Handle>);

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model")
            .field("name", &self.name())
            .field("version", &self.version())
            .field("engine", &self.engine())
            .finish()
    }
}

impl Model {
    /// Opens the model that `uri` names: a path, `shm:NAME` for a model that another process of
    /// this host serves, or another URI that `sidecall.h` describes.
    ///
    /// # Errors
    ///
    /// Those of `sidecall_model_open`, such as [`Code::FileNotFound`]
    /// and [`Code::VerificationFailed`].
    pub fn open(uri: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(uri, &Options::default())
    }

    /// The same with options.
    ///
    /// # Errors
    ///
    /// Those of [`Model::open`].
    pub fn open_with(uri: impl AsRef<Path>, options: &Options) -> Result<Self> {
        use std::os::unix::ffi::OsStrExt;
        let bytes = uri.as_ref().as_os_str().as_bytes();
        let uri = CString::new(bytes)
            .map_err(|_| Error::usage("uri: expected a text without NUL, got one with a NUL"))?;
        options.with_raw(|raw| {
            Self::from_open(raw.timeout_ns, |out, err| {
                // SAFETY: all pointers are valid during the call.
                unsafe { sys::sidecall_model_open(uri.as_ptr(), raw, out, err) }
            })
        })
    }

    /// Opens a model from the bytes of an ONNX file. It cannot have external data.
    ///
    /// # Errors
    ///
    /// Those of [`Model::open`].
    pub fn from_bytes(bytes: &[u8], options: &Options) -> Result<Self> {
        options.with_raw(|raw| {
            Self::from_open(raw.timeout_ns, |out, err| {
                // SAFETY: all pointers are valid during the call; the bytes are copied.
                unsafe {
                    sys::sidecall_model_open_bytes(
                        bytes.as_ptr().cast(),
                        bytes.len(),
                        raw,
                        out,
                        err,
                    )
                }
            })
        })
    }

    fn from_open(
        timeout_ns: i64,
        open: impl FnOnce(*mut *mut sys::sidecall_model, *mut sys::sidecall_error) -> i32,
    ) -> Result<Self> {
        require_library()?;
        let mut handle = ptr::null_mut();
        check(|err| open(&mut handle, err))?;
        let model = NonNull::new(handle).expect("the library gives a handle after success");
        // SAFETY: the model is open.
        let route = unsafe { sys::sidecall_model_route(handle) };
        Ok(Self(Arc::new(Handle {
            model,
            timeout_ns,
            is_polled: route == sys::SIDECALL_ROUTE_OTHER_PROCESS,
        })))
    }

    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    pub(crate) fn raw(&self) -> *const sys::sidecall_model {
        self.0.model.as_ptr()
    }

    pub(crate) fn timeout_ns(&self) -> i64 {
        self.0.timeout_ns
    }

    pub(crate) fn is_polled(&self) -> bool {
        self.0.is_polled
    }

    /// The name of the model in its contract; `""` without one.
    pub fn name(&self) -> &str {
        // SAFETY: the model is open; the text lives as long as it.
        unsafe { text(sys::sidecall_model_name(self.raw())) }
    }

    /// The version of the model in its contract; `""` without one.
    pub fn version(&self) -> &str {
        // SAFETY: as in name().
        unsafe { text(sys::sidecall_model_version(self.raw())) }
    }

    /// The SHA-256 of the file and its external files, in hexadecimal.
    pub fn id(&self) -> &str {
        // SAFETY: as in name().
        unsafe { text(sys::sidecall_model_id(self.raw())) }
    }

    /// The engine that runs the model, with its version: `"native 2"`.
    pub fn engine(&self) -> &str {
        // SAFETY: as in name().
        unsafe { text(sys::sidecall_model_engine(self.raw())) }
    }

    /// Why this engine was taken.
    pub fn engine_reason(&self) -> &str {
        // SAFETY: as in name().
        unsafe { text(sys::sidecall_model_engine_reason(self.raw())) }
    }

    /// Why verification failed, if the model was opened with [`Verify::Warn`](crate::Verify::Warn).
    pub fn warning(&self) -> Option<&str> {
        // SAFETY: the model is open; the text lives as long as it.
        unsafe {
            let warning = sys::sidecall_model_warning(self.raw());
            (!warning.is_null()).then(|| text(warning))
        }
    }

    /// The contract as JSON; `None` for a file without one.
    pub fn contract(&self) -> Option<&str> {
        // SAFETY: the model is open; the text lives as long as it, and has no NUL inside.
        unsafe {
            let contract = sys::sidecall_model_contract(self.raw(), ptr::null_mut());
            (!contract.is_null()).then(|| text(contract))
        }
    }

    /// Runs the golden rows now; returns the report as JSON.
    ///
    /// # Errors
    ///
    /// [`Code::VerificationFailed`], and those of a run.
    pub fn verify(&self) -> Result<String> {
        // SAFETY: the model is open; `out` and `err` are valid during the call.
        owned_text(|out, err| unsafe { sys::sidecall_model_verify(self.raw(), out, err) })
    }

    /// Predicts for a record, or for a list of records, as JSON text.
    ///
    /// # Errors
    ///
    /// Those of `sidecall_predict_json`, with every fault of every record.
    pub fn predict_json(&self, json: &str) -> Result<String> {
        // SAFETY: the model is open; all pointers are valid during the call.
        owned_text(|out, err| unsafe {
            sys::sidecall_predict_json(self.raw(), json.as_ptr().cast(), json.len(), out, err)
        })
    }

    /// Opens a call, the workspace of one thread, for a number of rows.
    ///
    /// # Errors
    ///
    /// [`Code::InvalidArgument`] for 0 rows; for a served model also
    /// those of connecting.
    pub fn call(&self, rows: usize) -> Result<Call> {
        Call::open(self, rows, false)
    }

    /// The same, but a served model is connected to when the call first runs, not here.
    ///
    /// # Errors
    ///
    /// [`Code::InvalidArgument`] for 0 rows.
    pub fn call_lazy(&self, rows: usize) -> Result<Call> {
        Call::open(self, rows, true)
    }

    /// Returns a predictor for a type of records and a type of answers, made by
    /// [`record!`](crate::record) and [`answer!`](crate::answer). It looks their names up in the
    /// model.
    ///
    /// # Errors
    ///
    /// [`Code::NoContract`]; [`Code::UnknownName`] if the model does not have one of the names;
    /// [`Code::DtypeMismatch`] if a feature or column never has values of the type of its field;
    /// [`Code::MissingValue`] if the records lack a feature that may not be missing;
    /// [`Code::InvalidArgument`] if two fields stand for the same feature.
    pub fn predictor<R: Record, A: Answer>(&self) -> Result<Predictor<R, A>> {
        Predictor::new(self)
    }

    fn find(&self, kind: i32, name: &str) -> Result<i32> {
        let mut index = -1;
        // SAFETY: the model is open; all pointers are valid during the call.
        check(|err| unsafe {
            sys::sidecall_model_find(
                self.raw(),
                kind,
                name.as_ptr().cast(),
                name.len(),
                &mut index,
                err,
            )
        })?;
        Ok(index)
    }

    /// Looks a feature up. Do it once, not for each record.
    ///
    /// # Errors
    ///
    /// [`Code::UnknownName`], whose text lists the names that exist.
    pub fn feature(&self, name: &str) -> Result<Feature> {
        self.find(sys::SIDECALL_KIND_FEATURE, name).map(Feature)
    }

    /// Looks a column up, such as `"label"` or `"probabilities.fraud"`.
    ///
    /// # Errors
    ///
    /// [`Code::UnknownName`], whose text lists the names that exist.
    pub fn column(&self, name: &str) -> Result<Column> {
        self.find(sys::SIDECALL_KIND_COLUMN, name).map(Column)
    }

    /// Looks an input tensor up.
    ///
    /// # Errors
    ///
    /// [`Code::UnknownName`], whose text lists the names that exist.
    pub fn input(&self, name: &str) -> Result<Input> {
        self.find(sys::SIDECALL_KIND_INPUT, name).map(Input)
    }

    /// Looks an output tensor up.
    ///
    /// # Errors
    ///
    /// [`Code::UnknownName`], whose text lists the names that exist.
    pub fn output(&self, name: &str) -> Result<Output> {
        self.find(sys::SIDECALL_KIND_OUTPUT, name).map(Output)
    }

    /// The features, in the order of the contract.
    pub fn features(&self) -> impl Iterator<Item = FeatureSpec<'_>> + '_ {
        // SAFETY: the model is open, and the indices are in range.
        let num = unsafe { sys::sidecall_model_num_features(self.raw()) };
        (0..num).map(move |index| {
            // SAFETY: see above; the specs and their texts live as long as the model.
            unsafe {
                let spec = &*sys::sidecall_model_feature_spec(self.raw(), index);
                FeatureSpec {
                    name: text(spec.name),
                    dtype: Dtype(spec.dtype),
                    is_nullable: spec.nullable != 0,
                    unit: text(spec.unit),
                    zone: text(spec.zone),
                }
            }
        })
    }

    /// The columns, in the order of the answer.
    pub fn columns(&self) -> impl Iterator<Item = ColumnSpec<'_>> + '_ {
        // SAFETY: the model is open.
        let num = unsafe { sys::sidecall_model_num_columns(self.raw()) };
        (0..num).map(move |index| self.column_spec(Column(index)))
    }

    pub(crate) fn column_spec(&self, column: Column) -> ColumnSpec<'_> {
        // SAFETY: the index is one of this model; the specs live as long as the model.
        unsafe {
            let spec = &*sys::sidecall_model_column_spec(self.raw(), column.0);
            ColumnSpec {
                name: text(spec.name),
                key: text(spec.key),
                dtype: Dtype(spec.dtype),
                form: match spec.form {
                    sys::SIDECALL_FORM_MEMBER => Form::Member,
                    sys::SIDECALL_FORM_ELEMENT => Form::Element,
                    _ => Form::Scalar,
                },
            }
        }
    }

    pub(crate) fn column_dtype(&self, column: Column) -> Dtype {
        // SAFETY: the index is one of this model; the specs live as long as the model.
        Dtype(unsafe { (*sys::sidecall_model_column_spec(self.raw(), column.0)).dtype })
    }

    /// The input tensors, in the order of the graph.
    pub fn inputs(&self) -> impl Iterator<Item = TensorSpec<'_>> + '_ {
        // SAFETY: the model is open, and the indices are in range.
        let num = unsafe { sys::sidecall_model_num_inputs(self.raw()) };
        (0..num).map(move |index| {
            // SAFETY: see above; the specs live as long as the model.
            unsafe { tensor_spec(sys::sidecall_model_input_spec(self.raw(), index)) }
        })
    }

    /// The output tensors, in the order of the graph.
    pub fn outputs(&self) -> impl Iterator<Item = TensorSpec<'_>> + '_ {
        // SAFETY: the model is open, and the indices are in range.
        let num = unsafe { sys::sidecall_model_num_outputs(self.raw()) };
        (0..num).map(move |index| {
            // SAFETY: see above; the specs live as long as the model.
            unsafe { tensor_spec(sys::sidecall_model_output_spec(self.raw(), index)) }
        })
    }
}

/// Checks that the library which was loaded has the functions and structs of this crate.
fn require_library() -> Result<()> {
    static LIBRARY: OnceLock<Result<()>> = OnceLock::new();
    LIBRARY
        .get_or_init(|| {
            // SAFETY: the function only returns a number.
            let abi = unsafe { sys::sidecall_abi_version() };
            if abi < sys::SIDECALL_ABI_VERSION as u32 {
                let message = format!(
                    "libsidecall: expected ABI {} or newer, got {abi}",
                    sys::SIDECALL_ABI_VERSION
                );
                return Err(Error::with_code(Code::Unsupported, &message));
            }
            let size = |name: &CStr| {
                // SAFETY: the name ends with NUL.
                unsafe { sys::sidecall_struct_size(name.as_ptr()) }
            };
            // Specs may grow; elements of arrays may not.
            let is_known = size(c"sidecall_value") == size_of::<sys::sidecall_value>()
                && size(c"sidecall_fault") == size_of::<sys::sidecall_fault>()
                && size(c"sidecall_tensor_spec") >= size_of::<sys::sidecall_tensor_spec>()
                && size(c"sidecall_feature_spec") >= size_of::<sys::sidecall_feature_spec>()
                && size(c"sidecall_column_spec") >= size_of::<sys::sidecall_column_spec>();
            if !is_known {
                let message = "libsidecall: its structs differ from those of this crate: \
                               use the library and the crate of one version";
                return Err(Error::with_code(Code::Unsupported, message));
            }
            Ok(())
        })
        .clone()
}

/// # Safety
///
/// `spec` points to a spec that lives for `'m`.
unsafe fn tensor_spec<'m>(spec: *const sys::sidecall_tensor_spec) -> TensorSpec<'m> {
    // SAFETY: the caller guarantees it; dims has `rank` elements.
    unsafe {
        let spec = &*spec;
        let rank = usize::try_from(spec.rank).unwrap_or(0);
        TensorSpec {
            name: text(spec.name),
            dtype: Dtype(spec.dtype),
            dims: if rank == 0 {
                &[]
            } else {
                std::slice::from_raw_parts(spec.dims, rank)
            },
            has_rows: spec.has_rows != 0,
        }
    }
}

/// # Safety
///
/// `pointer` points to a text that ends with NUL and lives for `'m`.
unsafe fn text<'m>(pointer: *const c_char) -> &'m str {
    if pointer.is_null() {
        return "";
    }
    // SAFETY: the caller guarantees it; the library's texts are UTF-8.
    unsafe { CStr::from_ptr(pointer) }.to_str().unwrap_or("")
}

/// A text that a function returns through `out`, and that must be closed.
fn owned_text(
    function: impl FnOnce(*mut *mut sys::sidecall_text, *mut sys::sidecall_error) -> i32,
) -> Result<String> {
    let mut out: *mut sys::sidecall_text = ptr::null_mut();
    let result = check(|err| function(&mut out, err));
    let mut made = String::new();
    if !out.is_null() {
        // SAFETY: the library returned this text, which has `length` bytes of UTF-8 and is closed
        // once.
        unsafe {
            let bytes = std::slice::from_raw_parts((*out).data.cast::<u8>(), (*out).length);
            made = String::from_utf8_lossy(bytes).into_owned();
            sys::sidecall_text_close(out);
        }
    }
    result.map(|()| made)
}
