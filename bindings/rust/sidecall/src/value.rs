//! Single values of records and answers.

use std::ptr;
use std::time::{SystemTime, UNIX_EPOCH};

use sidecall_sys as sys;

use crate::{Dtype, FeatureSpec};

/// One value of a record: of a feature to set, or of a column that was read.
///
/// Numbers, texts, `bool` and [`SystemTime`] convert into it, and so does an [`Option`] of these.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Value<'a> {
    /// Missing.
    Missing,
    /// A floating-point number. NaN is missing.
    F64(f64),
    /// An integer.
    I64(i64),
    /// True or false.
    Bool(bool),
    /// A text, or a datetime in ISO 8601.
    Str(&'a str),
    /// A datetime of the wall clock, for features without a time zone, or in UTC.
    Datetime {
        /// Seconds since 1970.
        seconds: i64,
        /// From 0 to 999 999 999; added to the seconds.
        nanoseconds: i32,
    },
    /// A point in time, for datetime features with a time zone.
    Instant {
        /// Seconds since 1970 in UTC.
        seconds: i64,
        /// From 0 to 999 999 999; added to the seconds.
        nanoseconds: i32,
    },
}

impl Value<'_> {
    /// The name of its type in messages.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Self::Missing => "a missing value",
            Self::F64(_) => "float64",
            Self::I64(_) => "int64",
            Self::Bool(_) => "bool",
            Self::Str(_) => "string",
            Self::Datetime { .. } | Self::Instant { .. } => "datetime",
        }
    }

    /// The struct of the C interface. Its text lives as long as that of this value.
    pub(crate) fn raw(&self) -> sys::sidecall_value {
        let mut raw = sys::sidecall_value {
            kind: sys::SIDECALL_VALUE_MISSING,
            nanoseconds: 0,
            f64_: 0.0,
            i64_: 0,
            text: ptr::null(),
            length: 0,
        };
        match *self {
            Self::Missing => {}
            Self::F64(value) => {
                raw.kind = sys::SIDECALL_VALUE_F64;
                raw.f64_ = value;
            }
            Self::I64(value) => {
                raw.kind = sys::SIDECALL_VALUE_I64;
                raw.i64_ = value;
            }
            Self::Bool(value) => {
                raw.kind = sys::SIDECALL_VALUE_BOOL;
                raw.i64_ = value.into();
            }
            Self::Str(value) => {
                raw.kind = sys::SIDECALL_VALUE_STR;
                raw.text = value.as_ptr().cast();
                raw.length = value.len();
            }
            Self::Datetime {
                seconds,
                nanoseconds,
            } => {
                raw.kind = sys::SIDECALL_VALUE_DATETIME;
                raw.i64_ = seconds;
                raw.nanoseconds = nanoseconds;
            }
            Self::Instant {
                seconds,
                nanoseconds,
            } => {
                raw.kind = sys::SIDECALL_VALUE_INSTANT;
                raw.i64_ = seconds;
                raw.nanoseconds = nanoseconds;
            }
        }
        raw
    }
}

macro_rules! from_numbers {
    ($variant:ident: $($number:ty),*) => {
        $(impl From<$number> for Value<'_> {
            fn from(value: $number) -> Self {
                Self::$variant(value.into())
            }
        })*
    };
}

from_numbers!(F64: f32, f64);
from_numbers!(I64: i8, i16, i32, i64, u8, u16, u32);
from_numbers!(Bool: bool);

impl From<u64> for Value<'_> {
    fn from(value: u64) -> Self {
        // A number beyond int64 is one for a feature of floats only.
        i64::try_from(value).map_or(Self::F64(value as f64), Self::I64)
    }
}

impl From<usize> for Value<'_> {
    fn from(value: usize) -> Self {
        (value as u64).into()
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(value: &'a str) -> Self {
        Self::Str(value)
    }
}

impl<'a> From<&'a String> for Value<'a> {
    fn from(value: &'a String) -> Self {
        Self::Str(value)
    }
}

impl From<SystemTime> for Value<'_> {
    fn from(value: SystemTime) -> Self {
        const SECOND: i32 = 1_000_000_000;
        // A time beyond int64 is one that no model accepts.
        let (mut seconds, mut nanoseconds) = match value.duration_since(UNIX_EPOCH) {
            Ok(after) => (
                i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
                after.subsec_nanos() as i32,
            ),
            Err(before) => {
                let before = before.duration();
                (
                    i64::try_from(before.as_secs()).map_or(i64::MIN, |seconds| -seconds),
                    -(before.subsec_nanos() as i32),
                )
            }
        };
        if nanoseconds < 0 {
            seconds = seconds.saturating_sub(1);
            nanoseconds += SECOND;
        }
        Self::Instant {
            seconds,
            nanoseconds,
        }
    }
}

impl<'a, T: Into<Value<'a>>> From<Option<T>> for Value<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Missing, Into::into)
    }
}

impl<'a> From<&'a Option<String>> for Value<'a> {
    fn from(value: &'a Option<String>) -> Self {
        value.as_deref().into()
    }
}

macro_rules! from_references {
    ($($kind:ty),*) => {
        $(impl From<&$kind> for Value<'_> {
            fn from(value: &$kind) -> Self {
                (*value).into()
            }
        }
        impl From<&Option<$kind>> for Value<'_> {
            fn from(value: &Option<$kind>) -> Self {
                (*value).into()
            }
        })*
    };
}

from_references!(f32, f64, i8, i16, i32, i64, u8, u16, u32, u64, usize, bool, SystemTime);

impl<'a> From<&&'a str> for Value<'a> {
    fn from(value: &&'a str) -> Self {
        Self::Str(value)
    }
}

impl<'a> From<&Option<&'a str>> for Value<'a> {
    fn from(value: &Option<&'a str>) -> Self {
        (*value).into()
    }
}

/// A type that a field of a [`record!`](crate::record) can have. Implement it for a type of your
/// own, such as an enum of categories:
///
/// ```
/// use sidecall::{ToValue, Value};
///
/// enum Island {
///     Biscoe,
///     Dream,
/// }
///
/// impl ToValue for Island {
///     fn to_value(&self) -> Value<'_> {
///         Value::Str(match self {
///             Self::Biscoe => "Biscoe",
///             Self::Dream => "Dream",
///         })
///     }
/// }
/// ```
pub trait ToValue {
    /// The value of the feature.
    fn to_value(&self) -> Value<'_>;

    /// Whether the feature takes values of this type. [`Model::predictor`] refuses the field if
    /// not. Without this method, only runs find out.
    ///
    /// [`Model::predictor`]: crate::Model::predictor
    fn fits(feature: &FeatureSpec<'_>) -> bool {
        let _ = feature;
        true
    }
}

macro_rules! to_value {
    ($fits:path: $($kind:ty),*) => {
        $(impl ToValue for $kind {
            fn to_value(&self) -> Value<'_> {
                self.into()
            }

            fn fits(feature: &FeatureSpec<'_>) -> bool {
                $fits(feature)
            }
        })*
    };
}

to_value!(takes_floats: f32, f64);
to_value!(takes_integers: i8, i16, i32, i64, u8, u16, u32, u64, usize);
to_value!(takes_bools: bool);
to_value!(takes_texts: String, &str);
to_value!(takes_instants: SystemTime);

fn takes_floats(feature: &FeatureSpec<'_>) -> bool {
    takes_integers(feature) && feature.dtype != Dtype::DATETIME
}

/// An integer of a datetime feature counts in its unit.
fn takes_integers(feature: &FeatureSpec<'_>) -> bool {
    ![Dtype::STRING, Dtype::BOOL].contains(&feature.dtype)
}

fn takes_bools(feature: &FeatureSpec<'_>) -> bool {
    feature.dtype == Dtype::BOOL
}

fn takes_texts(feature: &FeatureSpec<'_>) -> bool {
    [Dtype::STRING, Dtype::DATETIME].contains(&feature.dtype)
}

fn takes_instants(feature: &FeatureSpec<'_>) -> bool {
    feature.dtype == Dtype::DATETIME && !feature.zone.is_empty()
}

impl ToValue for Value<'_> {
    fn to_value(&self) -> Value<'_> {
        *self
    }
}

impl<T: ToValue> ToValue for Option<T> {
    fn to_value(&self) -> Value<'_> {
        self.as_ref().map_or(Value::Missing, T::to_value)
    }

    fn fits(feature: &FeatureSpec<'_>) -> bool {
        T::fits(feature)
    }
}

/// A type that a column can be read as, and that a field of an [`answer!`](crate::answer) can have.
pub trait FromValue: Sized {
    /// What this type reads, in the words of error messages.
    const EXPECTED: &'static str;

    /// The value as this type; `None` if the value has another type.
    fn from_value(value: Value<'_>) -> Option<Self>;

    /// Whether a column with values of this type can be read as this type. [`Call::get`] and
    /// [`Model::predictor`] refuse it if not. Without this method, only the value itself decides.
    ///
    /// [`Call::get`]: crate::Call::get
    /// [`Model::predictor`]: crate::Model::predictor
    fn reads(dtype: Dtype) -> bool {
        let _ = dtype;
        true
    }
}

/// `None` stands for NaN, as `null` does in JSON.
impl FromValue for Option<f64> {
    const EXPECTED: &'static str = f64::EXPECTED;

    fn from_value(value: Value<'_>) -> Option<Self> {
        f64::from_value(value).map(|value| (!value.is_nan()).then_some(value))
    }

    fn reads(dtype: Dtype) -> bool {
        f64::reads(dtype)
    }
}

/// A column of float32.
impl FromValue for f32 {
    const EXPECTED: &'static str = "float32";

    fn from_value(value: Value<'_>) -> Option<Self> {
        f64::from_value(value).map(|value| value as f32)
    }

    fn reads(dtype: Dtype) -> bool {
        dtype == Dtype::FLOAT32
    }
}

impl FromValue for f64 {
    const EXPECTED: &'static str = "float64";

    fn from_value(value: Value<'_>) -> Option<Self> {
        match value {
            Value::F64(value) => Some(value),
            _ => None,
        }
    }

    fn reads(dtype: Dtype) -> bool {
        [Dtype::FLOAT32, Dtype::FLOAT64].contains(&dtype)
    }
}

impl FromValue for i64 {
    const EXPECTED: &'static str = "int64";

    fn from_value(value: Value<'_>) -> Option<Self> {
        match value {
            Value::I64(value) => Some(value),
            _ => None,
        }
    }

    fn reads(dtype: Dtype) -> bool {
        const INTEGERS: [Dtype; 8] = [
            Dtype::INT64,
            Dtype::INT32,
            Dtype::INT16,
            Dtype::INT8,
            Dtype::UINT8,
            Dtype::UINT16,
            Dtype::UINT32,
            Dtype::UINT64,
        ];
        INTEGERS.contains(&dtype)
    }
}

impl FromValue for bool {
    const EXPECTED: &'static str = "bool";

    fn from_value(value: Value<'_>) -> Option<Self> {
        match value {
            Value::Bool(value) => Some(value),
            _ => None,
        }
    }

    fn reads(dtype: Dtype) -> bool {
        dtype == Dtype::BOOL
    }
}

impl FromValue for String {
    const EXPECTED: &'static str = "string";

    fn from_value(value: Value<'_>) -> Option<Self> {
        match value {
            Value::Str(value) => Some(value.to_owned()),
            _ => None,
        }
    }

    fn reads(dtype: Dtype) -> bool {
        dtype == Dtype::STRING
    }
}
