//! Columns of a table: one feature, or one column of the answers, of all rows of a call.

use std::ptr;

use sidecall_sys as sys;

use crate::call::as_i64;
#[allow(unused_imports)] // for links of the documentation
use crate::Code;
use crate::{Call, Column, Feature, Result};

impl Call {
    /// Sets one feature of all rows. `missing` is empty, or tells for each row whether its value is
    /// missing; NaN is missing too.
    ///
    /// # Errors
    ///
    /// Those of [`Call::set_row`]; [`Code::InvalidArgument`] if a slice does not have an element
    /// for each row.
    pub fn set_feature_f64(
        &mut self,
        feature: Feature,
        values: &[f64],
        missing: &[bool],
    ) -> Result<()> {
        let (flags, count) = flags_of(missing, values.len());
        // SAFETY: the call is open; both arrays have `count` elements.
        self.change(|call, err| unsafe {
            sys::sidecall_call_set_feature_f64(call, feature.0, values.as_ptr(), flags, count, err)
        })
    }

    /// The same for integers, and for datetimes as counts of their unit.
    ///
    /// # Errors
    ///
    /// Those of [`Call::set_feature_f64`].
    pub fn set_feature_i64(
        &mut self,
        feature: Feature,
        values: &[i64],
        missing: &[bool],
    ) -> Result<()> {
        let (flags, count) = flags_of(missing, values.len());
        // SAFETY: as in set_feature_f64().
        self.change(|call, err| unsafe {
            sys::sidecall_call_set_feature_i64(call, feature.0, values.as_ptr(), flags, count, err)
        })
    }

    /// The same for bools.
    ///
    /// # Errors
    ///
    /// Those of [`Call::set_feature_f64`].
    pub fn set_feature_bool(
        &mut self,
        feature: Feature,
        values: &[bool],
        missing: &[bool],
    ) -> Result<()> {
        let (flags, count) = flags_of(missing, values.len());
        // SAFETY: as in set_feature_f64(); a bool is a byte of 0 or 1.
        self.change(|call, err| unsafe {
            sys::sidecall_call_set_feature_bool(
                call,
                feature.0,
                values.as_ptr().cast(),
                flags,
                count,
                err,
            )
        })
    }

    /// The same for texts, which lie back to back in `text`: that of row k is
    /// `text[offsets[k]..offsets[k + 1]]`.
    ///
    /// # Errors
    ///
    /// Those of [`Call::set_feature_f64`].
    pub fn set_feature_str(
        &mut self,
        feature: Feature,
        text: &str,
        offsets: &[i64],
        missing: &[bool],
    ) -> Result<()> {
        let (flags, count) = flags_of(missing, offsets.len().saturating_sub(1));
        // SAFETY: the call is open; there are count + 1 offsets, which the library checks.
        self.change(|call, err| unsafe {
            sys::sidecall_call_set_feature_str(
                call,
                feature.0,
                text.as_ptr().cast(),
                text.len() as u64,
                offsets.as_ptr(),
                flags,
                count,
                err,
            )
        })
    }

    /// The same from a slice of texts, which are first copied to lie back to back.
    ///
    /// # Errors
    ///
    /// Those of [`Call::set_feature_f64`].
    pub fn set_feature_strs<T: AsRef<str>>(
        &mut self,
        feature: Feature,
        values: &[T],
        missing: &[bool],
    ) -> Result<()> {
        let mut text = String::new();
        let mut offsets = Vec::with_capacity(values.len() + 1);
        offsets.push(0);
        for value in values {
            text.push_str(value.as_ref());
            offsets.push(as_i64(text.len()));
        }
        self.set_feature_str(feature, &text, &offsets, missing)
    }

    /// Reads one column of all rows as numbers. `values` has an element for each row.
    ///
    /// # Errors
    ///
    /// Those of [`Call::get`]; [`Code::InvalidArgument`] if `values`
    /// has another length.
    pub fn get_column_f64(&self, column: Column, values: &mut [f64]) -> Result<()> {
        let count = as_i64(values.len());
        // SAFETY: the call is open; `values` has `count` elements.
        self.check(|call, err| unsafe {
            sys::sidecall_call_get_column_f64(call, column.0, values.as_mut_ptr(), count, err)
        })
    }

    /// The same for integers and bools.
    ///
    /// # Errors
    ///
    /// Those of [`Call::get_column_f64`].
    pub fn get_column_i64(&self, column: Column, values: &mut [i64]) -> Result<()> {
        let count = as_i64(values.len());
        // SAFETY: as in get_column_f64().
        self.check(|call, err| unsafe {
            sys::sidecall_call_get_column_i64(call, column.0, values.as_mut_ptr(), count, err)
        })
    }
}

/// The flags of missing values and their number; -1, which the library refuses, if it is not
/// `count`.
fn flags_of(missing: &[bool], count: usize) -> (*const u8, i64) {
    if missing.is_empty() {
        return (ptr::null(), as_i64(count));
    }
    let agrees = missing.len() == count;
    (
        missing.as_ptr().cast(),
        if agrees { as_i64(count) } else { -1 },
    )
}
