//! Calls machine-learning models that were trained in Python, at the speed of a function call.
//!
//! A model is an ONNX file that `sidecall.export` wrote in Python, or a model that another process
//! of this host serves. Opening a file verifies it: its golden rows must give the answers that the
//! Python model gave.
//!
//! ```no_run
//! use sidecall::Model;
//!
//! sidecall::record! {
//!     struct Order {
//!         amount: f64,
//!         country: Option<String>,
//!     }
//! }
//! sidecall::answer! {
//!     struct Score {
//!         label: String,
//!         fraud: f64 => "probabilities.fraud",
//!     }
//! }
//!
//! fn main() -> sidecall::Result<()> {
//!     let model = Model::open("fraud.onnx")?;
//!     let scoring = model.predictor::<Order, Score>()?; // looks the names up once
//!     let order = Order { amount: 12.5, country: Some("DE".into()) };
//!     let score = scoring.predict(&order)?;
//!     println!("{} {}", score.label, score.fraud);
//!     Ok(())
//! }
//! ```
//!
//! [`Model`] and [`Predictor`] may be shared by threads. [`Model::call`] opens a [`Call`], the
//! workspace of one thread, for batches, tensors and asynchronous runs. [`Model::predict_json`]
//! takes and gives JSON. `sidecall.h` is the manual of what lies below, and says what each error
//! code means.

// `cargo test` compiles the blocks of the guide.
#[cfg(doctest)]
#[doc = include_str!("../../../../docs/rust.md")]
struct Guide;

mod call;
mod error;
mod fields;
mod in_place;
mod model;
mod names;
mod options;
mod record;
mod running;
mod runs;
mod table;
mod tensor;
mod value;

pub use call::Call;
pub use error::{Error, Family, Fault, Result};
#[doc(hidden)]
pub use fields::plain_name;
pub use fields::{Columns, Features, Field};
pub use in_place::InPlace;
pub use model::{
    Column, ColumnSpec, Dtype, Feature, FeatureSpec, Form, Input, Model, Output, TensorSpec,
};
pub use names::Code;
pub use options::{Engine, Extra, Options, Verify};
pub use record::{Answer, Predictor, Record, Row};
pub use running::{Canceller, Running};
pub use tensor::{Element, Tensor, View, ViewMut};
pub use value::{FromValue, ToValue, Value};
