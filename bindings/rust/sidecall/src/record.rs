//! Structs as records and answers.

use std::fmt;
use std::marker::PhantomData;
use std::sync::{Mutex, PoisonError};

use crate::{Call, Code, Column, Error, Feature, FromValue, Model, Result, Value};

/// The library keeps at most so many faults.
pub(crate) const MAX_FAULTS: usize = 1000;

/// A type whose fields are features of a model. [`record!`](crate::record) implements it.
pub trait Record {
    /// The names of the features, in the order of the fields.
    const NAMES: &'static [&'static str];

    /// Calls `set` with the value of each field, in that order.
    fn each<'v>(&'v self, set: &mut dyn FnMut(Value<'v>));
}

/// A type whose fields are columns of a model. [`answer!`](crate::answer) implements it.
pub trait Answer: Sized {
    /// The names of the columns, in the order of the fields.
    const NAMES: &'static [&'static str];

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
    /// Reads field `index` of [`Answer::NAMES`].
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

/// A model with a type of records and a type of answers; see [`Model::bind`].
///
/// Any number of threads may use it at once: each takes a workspace that it gives back afterwards.
pub struct Binding<R, A> {
    model: Model,
    features: Vec<Feature>,
    columns: Vec<Column>,
    /// Whether the model has features that the records do not have.
    is_partial: bool,
    calls: Mutex<Vec<Call>>,
    types: PhantomData<fn(&R) -> A>,
}

impl<R, A> fmt::Debug for Binding<R, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Binding")
            .field("model", &self.model)
            .finish_non_exhaustive()
    }
}

impl<R: Record, A: Answer> Binding<R, A> {
    pub(crate) fn new(model: &Model) -> Result<Self> {
        let features = R::NAMES.iter().map(|name| model.feature(name));
        let columns = A::NAMES.iter().map(|name| model.column(name));
        let features = features.collect::<Result<Vec<_>>>()?;
        Ok(Self {
            is_partial: features.len() < model.features().count(),
            model: model.clone(),
            features,
            columns: columns.collect::<Result<_>>()?,
            calls: Mutex::new(Vec::new()),
            types: PhantomData,
        })
    }

    /// Predicts for one record. Features of the model that the record does not have are missing.
    ///
    /// # Errors
    ///
    /// Those of [`Call::run`], with every fault of the record.
    pub fn predict(&self, record: &R) -> Result<A> {
        let free = self.lock().pop();
        let mut call = match free {
            Some(call) => call,
            None => self.model.call(1)?,
        };
        let answer = self.predict_with(&mut call, record);
        // Another process may still use the memory of a run that was given up.
        if !call.is_busy() {
            self.lock().push(call);
        }
        answer
    }

    /// The same with a call of the caller, which must be one of the same model and have one row.
    ///
    /// # Errors
    ///
    /// Those of [`Binding::predict`], [`Code::InvalidArgument`] for another call, and
    /// [`Code::Busy`] while a run of the call is under way.
    pub fn predict_with(&self, call: &mut Call, record: &R) -> Result<A> {
        if call.rows() != 1 || !call.model().is_same(&self.model) {
            return Err(Error::usage(
                "call: expected one row of the model that was bound, got another call",
            ));
        }
        if self.is_partial {
            call.clear()?;
        }
        match call.set_each(0, Some(&self.features), |set| record.each(set)) {
            // Nothing was set, so the run would answer for the record of before.
            Err(error) if error.code() == Code::Busy => return Err(error),
            // The run reports every value that is refused, and what else went wrong.
            _ => {}
        }
        if let Err(error) = call.run() {
            let _ = call.clear(); // if it fails, the next record finds out
            return Err(error);
        }
        A::read(&Row {
            call,
            row: 0,
            columns: &self.columns,
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Call>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Declares a struct whose fields are features of a model, and implements
/// [`Record`](crate::Record) for it.
///
/// A field has the name of its feature, or names it: `is_vip: bool => "VIP"`. Its type converts
/// into a [`Value`](crate::Value) by reference: a number, `bool`, `String`, `&'static str`,
/// `SystemTime`, or an `Option` of these.
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
            const NAMES: &'static [&'static str] =
                &[$($crate::field_name!($field $(=> $feature)?)),*];

            fn each<'v>(&'v self, set: &mut dyn FnMut($crate::Value<'v>)) {
                $(set($crate::Value::from(&self.$field));)*
            }
        }
    };
}

/// Declares a struct whose fields are columns of a model, and implements
/// [`Answer`](crate::Answer) for it.
///
/// A field has the name of its column, or names it: `fraud: f64 => "probabilities.fraud"`. Its type
/// is one that implements [`FromValue`](crate::FromValue).
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
            const NAMES: &'static [&'static str] =
                &[$($crate::field_name!($field $(=> $column)?)),*];

            fn read(row: &$crate::Row<'_>) -> $crate::Result<Self> {
                let mut index = 0..;
                Ok(Self {
                    $($field: row.get(index.next().unwrap_or_default())?,)*
                })
            }
        }
    };
}

/// The name of a field without the `r#` of a raw identifier.
#[doc(hidden)]
pub const fn plain_name(name: &'static str) -> &'static str {
    match name.as_bytes() {
        // SAFETY: what follows two ASCII characters of a str is a str.
        [b'r', b'#', rest @ ..] => unsafe { std::str::from_utf8_unchecked(rest) },
        _ => name,
    }
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
