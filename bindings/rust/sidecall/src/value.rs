//! Single values of records and answers.

use std::ptr;
use std::time::{SystemTime, UNIX_EPOCH};

use sidecall_sys as sys;

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

from_references!(f32, f64, i8, i16, i32, i64, u8, u16, u32, bool, SystemTime);

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

/// A type that a column can be read as.
pub trait FromValue: Sized {
    /// What this type reads, in the words of error messages.
    const EXPECTED: &'static str;

    /// The value as this type; `None` if the value has another type.
    fn from_value(value: Value<'_>) -> Option<Self>;
}

impl FromValue for f64 {
    const EXPECTED: &'static str = "float64";

    fn from_value(value: Value<'_>) -> Option<Self> {
        match value {
            Value::F64(value) => Some(value),
            _ => None,
        }
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
}

impl FromValue for bool {
    const EXPECTED: &'static str = "bool";

    fn from_value(value: Value<'_>) -> Option<Self> {
        match value {
            Value::Bool(value) => Some(value),
            _ => None,
        }
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
}
