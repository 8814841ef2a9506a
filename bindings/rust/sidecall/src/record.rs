//! Structs as records and answers.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use crate::fields::{columns_of, features_of, Columns, Features};
use crate::options::deadline;
use crate::{Call, Code, Column, Error, Feature, FromValue, Model, Result, Value};

/// The library keeps at most so many faults.
pub(crate) const MAX_FAULTS: usize = 1000;

/// A type whose fields are features of a model. [`record!`](crate::record) implements it.
pub trait Record {
    /// The fields, in order.
    const FIELDS: &'static Features;

    /// Calls `set` with the value of each field, in that order.
    fn each<'v>(&'v self, set: &mut dyn FnMut(Value<'v>));
}

/// A type whose fields are columns of a model. [`answer!`](crate::answer) implements it.
pub trait Answer: Sized {
    /// The fields, in order.
    const FIELDS: &'static Columns;

    /// Reads the fields from a row.
    ///
    /// # Errors
    ///
    /// [`Code::DtypeMismatch`](crate::Code::DtypeMismatch) if a column has another type.
    fn read(row: &Row<'_>) -> Result<Self>;
}

/// One row of the answers, with the columns of an [`Answer`].
#[derive(Debug, Clone, Copy)]
pub struct Row<'c> {
    call: &'c Call,
    row: usize,
    columns: &'c [Column],
}

impl Row<'_> {
    /// Reads field `index` of [`Answer::FIELDS`].
    ///
    /// # Errors
    ///
    /// Those of [`Call::get`].
    ///
    /// # Panics
    ///
    /// If there is no such field.
    pub fn get<T: FromValue>(&self, index: usize) -> Result<T> {
        self.call.get(self.row, self.columns[index])
    }
}

/// Predicts answers of type `A` for records of type `R`; see [`Model::predictor`].
///
/// Any number of threads may use it at once: each takes a workspace that it gives back afterwards.
/// A method without a deadline has that of [`Options::timeout`](crate::Options::timeout).
pub struct Predictor<R, A> {
    model: Model,
    features: Vec<Feature>,
    columns: Vec<Column>,
    /// Whether the model has features that the records do not have.
    is_partial: bool,
    /// Whether the records have all features, in their order, which the library sets faster.
    is_in_order: bool,
    types: PhantomData<fn(&R) -> A>,
}

impl<R, A> fmt::Debug for Predictor<R, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Predictor")
            .field("model", &self.model)
            .finish_non_exhaustive()
    }
}

impl<R: Record, A: Answer> Predictor<R, A> {
    pub(crate) fn new(model: &Model) -> Result<Self> {
        let features = features_of::<R>(model)?;
        let is_partial = features.len() < model.features().count();
        let is_sorted = features
            .iter()
            .zip(0..)
            .all(|(feature, at)| feature.0 == at);
        Ok(Self {
            is_partial,
            is_in_order: is_sorted && !is_partial,
            model: model.clone(),
            features,
            columns: columns_of::<A>(model)?,
            types: PhantomData,
        })
    }

    /// Predicts for one record. Features of the model that the record does not have are missing.
    ///
    /// # Errors
    ///
    /// Those of [`Call::run`], with every fault of the record.
    pub fn predict(&self, record: &R) -> Result<A> {
        self.predict_pooled(record, self.model.timeout_ns())
    }

    /// The same with a deadline of its own, which means what it means in [`Call::run_within`].
    ///
    /// # Errors
    ///
    /// Those of [`Predictor::predict`], and [`Code::Timeout`].
    pub fn predict_within(&self, record: &R, timeout: Duration) -> Result<A> {
        self.predict_pooled(record, deadline(timeout))
    }

    /// Predicts for several records in one run, which is faster than one run for each.
    ///
    /// All of them have an answer, or none has: the faults of the error name the rows to leave out.
    ///
    /// # Errors
    ///
    /// Those of [`Predictor::predict`], with every fault of every record.
    pub fn predict_all(&self, records: &[R]) -> Result<Vec<A>> {
        self.predict_batch(records, self.model.timeout_ns())
    }

    /// The same with a deadline of its own, which means what it means in [`Call::run_within`].
    ///
    /// # Errors
    ///
    /// Those of [`Predictor::predict_all`], and [`Code::Timeout`].
    pub fn predict_all_within(&self, records: &[R], timeout: Duration) -> Result<Vec<A>> {
        self.predict_batch(records, deadline(timeout))
    }

    /// Predicts with a call of the caller, which must be one of the same model and have one row.
    ///
    /// # Errors
    ///
    /// Those of [`Predictor::predict`], [`Code::InvalidArgument`] for another call, and
    /// [`Code::Busy`] while a run of the call is under way.
    pub fn predict_with(&self, call: &mut Call, record: &R) -> Result<A> {
        if call.rows() != 1 || !call.model().is_same(&self.model) {
            return Err(Error::usage(
                "call: expected a call of the model of this predictor, with one row: use Model::call(1)",
            ));
        }
        self.predict_in(call, record, self.model.timeout_ns())
    }

    fn predict_pooled(&self, record: &R, timeout_ns: i64) -> Result<A> {
        self.predict_in(&mut self.model.call_lazy(1)?, record, timeout_ns)
    }

    fn predict_in(&self, call: &mut Call, record: &R, timeout_ns: i64) -> Result<A> {
        if self.is_partial {
            call.clear()?;
        }
        self.set(call, 0, record)?;
        if let Err(error) = call.run_for(timeout_ns) {
            let _ = call.clear(); // if it fails, the next record finds out
            return Err(error);
        }
        self.read(call, 0)
    }

    fn predict_batch(&self, records: &[R], timeout_ns: i64) -> Result<Vec<A>> {
        if records.is_empty() {
            return Ok(Vec::new());
        }
        let mut call = self.model.call_lazy(records.len())?;
        call.clear()?;
        for (row, record) in records.iter().enumerate() {
            self.set(&mut call, row, record)?;
        }
        call.run_for(timeout_ns)?;
        let rows = 0..records.len();
        rows.map(|row| self.read(&call, row)).collect()
    }

    fn set(&self, call: &mut Call, row: usize, record: &R) -> Result<()> {
        let named = (!self.is_in_order).then_some(&self.features[..]);
        match call.set_each(row, named, |set| record.each(set)) {
            // Nothing was set, so the run would answer for the record of before.
            Err(error) if error.code() == Code::Busy => Err(error),
            // The run reports every value that is refused, and what else went wrong.
            _ => Ok(()),
        }
    }

    fn read(&self, call: &Call, row: usize) -> Result<A> {
        A::read(&Row {
            call,
            row,
            columns: &self.columns,
        })
    }
}

/// Declares a struct whose fields are features of a model, and implements
/// [`Record`](crate::Record) for it.
///
/// A field has the name of its feature, or names it: `is_vip: bool => "VIP"`. Its type is one that
/// implements [`ToValue`](crate::ToValue): `f64`, `f32`, an integer, `bool`, `String`,
/// `&'static str`, `SystemTime`, an `Option` of these, or a type of the program.
#[macro_export]
macro_rules! record {
    ($(#[$meta:meta])* $vis:vis struct $name:ident {
        $($(#[$field_meta:meta])* $field_vis:vis $field:ident: $kind:ty $(=> $feature:literal)?),*
        $(,)?
    }) => {
        $(#[$meta])*
        $vis struct $name {
            $($(#[$field_meta])* $field_vis $field: $kind,)*
        }

        impl $crate::Record for $name {
            const FIELDS: &'static $crate::Features = &[$(
                $crate::Field {
                    name: $crate::field_name!($field $(=> $feature)?),
                    field: $crate::field_name!($field),
                    kind: stringify!($kind),
                    fits: <$kind as $crate::ToValue>::fits,
                },
            )*];

            fn each<'v>(&'v self, set: &mut dyn FnMut($crate::Value<'v>)) {
                $(set($crate::ToValue::to_value(&self.$field));)*
            }
        }
    };
}

/// Declares a struct whose fields are columns of a model, and implements
/// [`Answer`](crate::Answer) for it.
///
/// A field has the name of its column, or names it: `fraud: f64 => "probabilities.fraud"`. Its type
/// is one that implements [`FromValue`](crate::FromValue): `f64`, `f32` for float32, `i64`, `bool`,
/// `String`, `Option<f64>`, or a type of the program.
#[macro_export]
macro_rules! answer {
    ($(#[$meta:meta])* $vis:vis struct $name:ident {
        $($(#[$field_meta:meta])* $field_vis:vis $field:ident: $kind:ty $(=> $column:literal)?),*
        $(,)?
    }) => {
        $(#[$meta])*
        $vis struct $name {
            $($(#[$field_meta])* $field_vis $field: $kind,)*
        }

        impl $crate::Answer for $name {
            const FIELDS: &'static $crate::Columns = &[$(
                $crate::Field {
                    name: $crate::field_name!($field $(=> $column)?),
                    field: $crate::field_name!($field),
                    kind: stringify!($kind),
                    fits: <$kind as $crate::FromValue>::reads,
                },
            )*];

            fn read(row: &$crate::Row<'_>) -> $crate::Result<Self> {
                let mut index = 0..;
                Ok(Self {
                    $($field: row.get(index.next().unwrap_or_default())?,)*
                })
            }
        }
    };
}

/// The name that a field of [`record!`](crate::record) or [`answer!`](crate::answer) stands for.
#[doc(hidden)]
#[macro_export]
macro_rules! field_name {
    ($field:ident) => {
        $crate::plain_name(stringify!($field))
    };
    ($field:ident => $name:literal) => {
        $name
    };
}
