//! What the tests share: the models of the tests of all languages, and JSON.
#![allow(dead_code)] // each test program uses a part

pub mod json;

use sidecall::{Engine, Model, Options};

pub fn path(name: &str) -> String {
    let folder = std::env::var("SIDECALL_TEST_MODELS").unwrap_or_else(|_| {
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../../tests/vectors/models").to_owned()
    });
    format!("{folder}/{name}")
}

/// Opens a model on the native engine, which needs no ONNX Runtime.
pub fn open(name: &str) -> Model {
    Model::open_with(path(name), &Options::default().engine(Engine::Native)).expect(name)
}
