//! What `Model::predictor` refuses, deadlines of predictors, and many records in one run.

mod common;

use std::time::{Duration, SystemTime};

use sidecall::{answer, record, Code, Error, Model, Options, ToValue, Value};

record! {
    #[derive(Debug, Clone, Default)]
    struct Penguin {
        bill_length_mm: f64,
        bill_depth_mm: Option<f32>,
        flipper_length_mm: usize,
        body_mass_g: Option<u64>,
        island: Option<String>,
    }
}

answer! {
    #[derive(Debug, PartialEq)]
    struct Species {
        label: String,
        adelie: Option<f64> => "probabilities.Adelie",
    }
}

fn refused<R: sidecall::Record, A: sidecall::Answer>(name: &str) -> Error {
    common::open(name).predictor::<R, A>().unwrap_err()
}

#[test]
fn a_field_of_a_type_that_the_feature_never_has_is_refused() {
    record! { struct Text { bill_length_mm: Option<String> } }
    let error = refused::<Text, Species>("penguins.onnx");
    assert_eq!(error.code(), Code::DtypeMismatch);
    let text = "field bill_length_mm of Text: feature 'bill_length_mm' is float32, \
                got Option<String>";
    assert_eq!(error.message(), text);
    let parts = (error.name(), error.expected(), error.got());
    assert_eq!(parts, ("bill_length_mm", "float32", "Option<String>"));

    record! { struct Number { place: i64 => "island" } }
    let error = refused::<Number, Species>("penguins.onnx");
    let text = "field place of Number: feature 'island' is string, got i64";
    assert_eq!(error.message(), text);

    record! { struct Flag { bill_length_mm: bool } }
    let error = refused::<Flag, Species>("penguins.onnx");
    assert_eq!(error.code(), Code::DtypeMismatch);
    record! { struct Time { bill_length_mm: SystemTime } }
    let error = refused::<Time, Species>("penguins.onnx");
    assert_eq!(error.code(), Code::DtypeMismatch);
}

#[test]
fn a_point_in_time_is_refused_for_a_feature_without_a_time_zone() {
    answer! { struct Nothing {} }
    record! { struct Instants { due: SystemTime, born: SystemTime } }
    let error = refused::<Instants, Nothing>("dates.onnx");
    let text = "field born of Instants: feature 'born' is datetime, got SystemTime";
    assert_eq!(error.message(), text);
    record! { struct Floats { due: f64, born: String } }
    let error = refused::<Floats, Nothing>("dates.onnx");
    assert_eq!(error.code(), Code::DtypeMismatch);
    // Texts in ISO 8601, and integers as counts of the unit.
    record! { struct Dates { due: i64, born: &'static str } }
    let dates = common::open("dates.onnx")
        .predictor::<Dates, Nothing>()
        .unwrap();
    let born = "1970-01-02T00:00:00";
    dates.predict(&Dates { due: 0, born }).unwrap();
}

#[test]
fn a_field_of_a_type_that_the_column_never_has_is_refused() {
    answer! { struct Wrong { label: f64 } }
    let error = refused::<Penguin, Wrong>("penguins.onnx");
    assert_eq!(error.code(), Code::DtypeMismatch);
    let text = "field label of Wrong: column 'label' is string, got f64";
    assert_eq!(error.message(), text);
    let parts = (error.name(), error.expected(), error.got());
    assert_eq!(parts, ("label", "string", "f64"));
}

#[test]
fn a_column_of_float64_is_not_read_as_f32() {
    record! { #[derive(Clone)] struct Point { x0: f32, x1: u64 } }
    answer! { struct Narrow { prediction: f32 } }
    answer! { struct Wide { prediction: f64 } }
    let error = refused::<Point, Narrow>("prediction_float64.onnx");
    let text = "field prediction of Narrow: column 'prediction' is float64, got f32";
    assert_eq!(error.message(), text);
    let model = common::open("prediction_float64.onnx");
    let point = Point { x0: 0.5, x1: 2 };
    let wide = model.predictor::<Point, Wide>().unwrap();
    wide.predict(&point).unwrap();
    let column = model.column("prediction").unwrap();
    let mut call = model.call(1).unwrap();
    wide.predict_with(&mut call, &point).unwrap();
    let error = call.get::<f32>(0, column).unwrap_err();
    let text = "column 'prediction': expected float32, got float64";
    assert_eq!(error.message(), text);
}

#[test]
fn a_column_of_float32_is_read_as_f32_and_f64() {
    record! { struct Point { x0: f32, x1: f64, x2: i64 } }
    answer! { struct Both { narrow: f32 => "probabilities.3", wide: f64 => "probabilities.3" } }
    let both = common::open("label_int.onnx")
        .predictor::<Point, Both>()
        .unwrap();
    let answer = both
        .predict(&Point {
            x0: 0.5,
            x1: 0.25,
            x2: 1,
        })
        .unwrap();
    assert_eq!(f64::from(answer.narrow), answer.wide);
}

#[test]
fn records_without_a_feature_that_may_not_be_missing_are_refused() {
    record! { struct Part { f32_must: f64, f64_must: f64, i64_must: i64, flag_must: bool } }
    answer! { struct Nothing {} }
    let error = refused::<Part, Nothing>("kinds.onnx");
    assert_eq!(error.code(), Code::MissingValue);
    let text = "feature 'word_must', which may not be missing: expected a field of Part, got none";
    assert_eq!(error.message(), text);
    assert_eq!(error.name(), "word_must");
}

#[test]
fn two_fields_for_one_feature_are_refused() {
    record! { struct Twice { island: String, other: String => "island" } }
    let error = refused::<Twice, Species>("penguins.onnx");
    assert_eq!(error.code(), Code::InvalidArgument);
    let text = "field other of Twice: expected one field for feature 'island', got a second";
    assert_eq!(error.message(), text);
}

#[test]
fn a_model_without_a_contract_has_no_predictor() {
    let error = refused::<Penguin, Species>("add.onnx");
    assert_eq!(error.code(), Code::NoContract);
    assert_eq!(
        format!("{error:?}"),
        format!("NO_CONTRACT: {}", error.message())
    );
    assert_eq!(format!("{:>12}", error.code()), " NO_CONTRACT");
}

#[test]
fn a_field_may_have_a_type_of_the_program() {
    enum Island {
        Dream,
    }
    impl ToValue for Island {
        fn to_value(&self) -> Value<'_> {
            match self {
                Self::Dream => "Dream".into(),
            }
        }
    }
    record! { struct Typed { island: Option<Island> } }
    record! { struct Untyped { island: &'static str } }
    let model = common::open("penguins.onnx");
    let typed = model.predictor::<Typed, Species>().unwrap();
    let untyped = model.predictor::<Untyped, Species>().unwrap();
    assert_eq!(
        typed
            .predict(&Typed {
                island: Some(Island::Dream)
            })
            .unwrap(),
        untyped.predict(&Untyped { island: "Dream" }).unwrap()
    );
}

const MOMENT: Duration = Duration::from_millis(20);
const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn a_binding_gives_a_run_up_at_its_deadline() {
    let (server, address) = common::serve("penguins.onnx", "deadline");
    let options = Options::default().wait(MINUTE);
    let model = Model::open_with(&address, &options).unwrap();
    let species = model.predictor::<Penguin, Species>().unwrap();
    let penguin = Penguin::default();
    let batch = [penguin.clone(), penguin.clone()];
    let answer = species.predict(&penguin).unwrap();
    for timeout in [MOMENT, Duration::ZERO] {
        server.stop();
        let error = species.predict_within(&penguin, timeout).unwrap_err();
        assert_eq!(error.code(), Code::Timeout);
        assert!(error.is_retryable());
        let error = species.predict_all_within(&batch, timeout).unwrap_err();
        assert_eq!(error.code(), Code::Timeout);
        server.resume();
        assert_eq!(species.predict_within(&penguin, MINUTE).unwrap(), answer);
        let answers = species.predict_all_within(&batch, MINUTE).unwrap();
        assert_eq!(answers[1], answer);
    }
}

#[test]
fn the_deadline_of_the_options_holds_for_predictors() {
    let (server, address) = common::serve("penguins.onnx", "options");
    Model::open_with(&address, &Options::default().wait(MINUTE)).unwrap();
    let model = Model::open_with(&address, &Options::default().timeout(MOMENT)).unwrap();
    let species = model.predictor::<Penguin, Species>().unwrap();
    let penguin = Penguin::default();
    let mut call = model.call(1).unwrap();
    server.stop();
    for error in [
        species.predict(&penguin).unwrap_err(),
        species
            .predict_all(std::slice::from_ref(&penguin))
            .unwrap_err(),
        species.predict_with(&mut call, &penguin).unwrap_err(),
    ] {
        assert_eq!(error.code(), Code::Timeout);
    }
    server.resume();
    // A deadline of its own takes its place.
    species.predict_within(&penguin, MINUTE).unwrap();
}

#[test]
fn a_binding_outlives_its_server_if_the_next_one_has_the_same_model() {
    let (server, address) = common::serve("penguins.onnx", "restart");
    let model = Model::open_with(&address, &Options::default().wait(MINUTE)).unwrap();
    let species = model.predictor::<Penguin, Species>().unwrap();
    let answer = species.predict(&Penguin::default()).unwrap();
    drop(server);
    let (server, _) = common::serve("penguins.onnx", "restart");
    // `wait` holds for the restart too.
    assert_eq!(species.predict(&Penguin::default()).unwrap(), answer);
    drop(server);
    let (_server, _) = common::serve("label_int.onnx", "restart");
    let error = species.predict(&Penguin::default()).unwrap_err();
    assert_eq!(error.code(), Code::ContractChanged);
    assert!(!error.is_retryable());
    let error = Model::open(&address)
        .unwrap()
        .predictor::<Penguin, Species>();
    assert_eq!(error.unwrap_err().code(), Code::UnknownName);
}

#[test]
fn many_records_are_answered_in_one_run() {
    let model = common::open("penguins.onnx");
    let species = model.predictor::<Penguin, Species>().unwrap();
    assert_eq!(species.predict_all(&[]).unwrap(), []);
    let of = |island: &str, bill_length_mm| Penguin {
        bill_length_mm,
        island: Some(island.to_owned()),
        ..Penguin::default()
    };
    let records = [of("Dream", 48.0), of("Biscoe", 39.0), of("Torgersen", 51.5)];
    for count in [3, 1, 2, 3] {
        let answers = species.predict_all(&records[..count]).unwrap();
        assert_eq!(answers.len(), count);
        for (record, answer) in records.iter().zip(&answers) {
            assert_eq!(species.predict(record).unwrap(), *answer);
        }
    }
}

#[test]
fn one_bad_record_fails_the_batch_and_is_named() {
    record! { #[derive(Clone)] struct Place { island: Value<'static> } }
    let model = common::open("penguins.onnx");
    let species = model.predictor::<Place, Species>().unwrap();
    let mut records: Vec<Place> = ["Dream", "Biscoe"]
        .map(|island| Place {
            island: island.into(),
        })
        .into();
    records.insert(1, Place { island: 7.into() });
    let error = species.predict_all(&records).unwrap_err();
    assert_eq!(error.code(), Code::DtypeMismatch);
    let rows: Vec<_> = error.faults().iter().map(|fault| fault.row).collect();
    assert_eq!(rows, [Some(1)]);
    records.remove(1);
    assert_eq!(species.predict_all(&records).unwrap().len(), 2);
}
