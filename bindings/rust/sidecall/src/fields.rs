//! The fields of records and answers, and what `Model::predictor` checks of them.

use std::any::type_name;

use crate::{
    Answer, Code, Column, ColumnSpec, Dtype, Error, Feature, FeatureSpec, Model, Record, Result,
};

/// A field of a [`Record`] or of an [`Answer`].
#[derive(Debug, Clone, Copy)]
pub struct Field<Fits> {
    /// The name of its feature or column.
    pub name: &'static str,
    /// Its own name.
    pub field: &'static str,
    /// Its type, as the program writes it.
    pub kind: &'static str,
    /// Whether the model can have values of that type there.
    pub fits: Fits,
}

/// The fields of a [`Record`].
pub type Features = [Field<fn(&FeatureSpec<'_>) -> bool>];
/// The fields of an [`Answer`].
pub type Columns = [Field<fn(Dtype) -> bool>];

impl<Fits> Field<Fits> {
    fn wrong_type<Owner>(&self, what: &str, name: &str, dtype: Dtype) -> Error {
        let (field, kind, owner) = (self.field, self.kind, short_name::<Owner>());
        let message = format!("field {field} of {owner}: {what} '{name}' is {dtype}, got {kind}");
        Error::with_code(Code::DtypeMismatch, &message).about(name, dtype.name(), kind)
    }
}

/// The name of a type without its modules.
fn short_name<T>() -> &'static str {
    let name = type_name::<T>();
    name.rsplit("::").next().unwrap_or(name)
}

/// Looks the features of records up.
pub(crate) fn features_of<R: Record>(model: &Model) -> Result<Vec<Feature>> {
    let specs: Vec<FeatureSpec<'_>> = model.features().collect();
    if specs.is_empty() {
        // Looking a name up would only say that there is none.
        model.call_lazy(1)?.clear()?;
    }
    let mut features = Vec::with_capacity(R::FIELDS.len());
    for field in R::FIELDS {
        let feature = model.feature(field.name)?;
        let spec = specs[feature.0 as usize];
        if features.contains(&feature) {
            let message = format!(
                "field {} of {}: expected one field for feature '{}', got a second",
                field.field,
                short_name::<R>(),
                spec.name
            );
            return Err(Error::usage(&message));
        }
        if !(field.fits)(&spec) {
            return Err(field.wrong_type::<R>("feature", spec.name, spec.dtype));
        }
        features.push(feature);
    }
    for (index, spec) in (0..).zip(&specs) {
        if !spec.is_nullable && !features.contains(&Feature(index)) {
            let message = format!(
                "feature '{}', which may not be missing: expected a field of {}, got none",
                spec.name,
                short_name::<R>()
            );
            let error = Error::with_code(Code::MissingValue, &message);
            return Err(error.about(spec.name, spec.dtype.name(), "no field"));
        }
    }
    Ok(features)
}

/// Looks the columns of answers up.
pub(crate) fn columns_of<A: Answer>(model: &Model) -> Result<Vec<Column>> {
    let columns = A::FIELDS.iter().map(|field| {
        let column = model.column(field.name)?;
        let ColumnSpec { name, dtype, .. } = model.column_spec(column);
        if (field.fits)(dtype) {
            Ok(column)
        } else {
            Err(field.wrong_type::<A>("column", name, dtype))
        }
    });
    columns.collect()
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
