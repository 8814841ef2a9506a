//! Records: single values, rows, columns of tables, and structs for predictors.

mod common;

use sidecall::{answer, record, Code, Family, Feature, FromValue, Value};

record! {
    /// A penguin.
    #[derive(Debug, Clone)]
    pub struct Penguin {
        bill_length_mm: f64,
        bill_depth_mm: Option<f64>,
        flipper_length_mm: f64,
        body_mass_g: Option<f64>,
        island: String,
        sex: Option<&'static str>,
    }
}

answer! {
    #[derive(Debug, PartialEq)]
    struct Species {
        label: String,
        adelie: f64 => "probabilities.Adelie",
    }
}

fn adelie() -> Penguin {
    Penguin {
        bill_length_mm: 39.1,
        bill_depth_mm: Some(18.7),
        flipper_length_mm: 181.0,
        body_mass_g: None,
        island: "Torgersen".to_owned(),
        sex: Some("male"),
    }
}

#[test]
fn a_struct_is_answered_as_its_json_text() {
    let model = common::open("penguins.onnx");
    let species = model.predictor::<Penguin, Species>().unwrap();
    let answer = species.predict(&adelie()).unwrap();
    assert_eq!(answer.label, "Adelie");
    let json = model
        .predict_json(
            r#"{"bill_length_mm": 39.1, "bill_depth_mm": 18.7, "flipper_length_mm": 181,
                "body_mass_g": null, "island": "Torgersen", "sex": "male"}"#,
        )
        .unwrap();
    assert!(
        json.contains(&format!("\"Adelie\":{}", answer.adelie)),
        "{json}"
    );
}

#[test]
fn many_threads_share_a_binding() {
    let model = common::open("penguins.onnx");
    let species = model.predictor::<Penguin, Species>().unwrap();
    let expected = species.predict(&adelie()).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..200 {
                    assert_eq!(species.predict(&adelie()).unwrap(), expected);
                }
            });
        }
    });
}

#[test]
fn names_that_the_model_does_not_have_are_refused_by_predictor() {
    record! { struct Other { colour: String } }
    answer! { struct Wrong { adelie: f64 } }
    let model = common::open("penguins.onnx");
    let error = model.predictor::<Other, Species>().unwrap_err();
    assert_eq!(error.code(), Code::UnknownName);
    assert!(error.to_string().contains("'colour'"), "{error}");
    assert!(error.to_string().contains("bill_length_mm"), "{error}");
    assert_eq!(
        model.predictor::<Penguin, Wrong>().unwrap_err().code(),
        Code::UnknownName
    );
}

#[test]
fn a_column_is_not_read_as_another_type() {
    let model = common::open("penguins.onnx");
    let label = model.column("label").unwrap();
    let adelie = model.column("probabilities.Adelie").unwrap();
    let mut call = model.call(1).unwrap();
    call.clear().unwrap();
    call.run().unwrap();
    let error = call.get::<f64>(0, label).unwrap_err();
    assert_eq!(error.code(), Code::DtypeMismatch);
    assert_eq!(
        error.message(),
        "column 'label': expected float64, got string"
    );
    assert_eq!(
        (error.name(), error.expected(), error.got()),
        ("label", "float64", "string")
    );
    let number = call.get::<f64>(0, adelie).unwrap();
    assert_eq!(call.get::<Option<f64>>(0, adelie).unwrap(), Some(number));
    assert_eq!(<Option<f64>>::from_value(Value::F64(f64::NAN)), Some(None));
}

#[test]
fn a_run_reports_every_fault_of_every_row() {
    let model = common::open("kinds.onnx");
    let mut call = model.call(2).unwrap();
    call.clear().unwrap();
    let first = model.features().next().unwrap().name.to_owned();
    let feature = model.feature(&first).unwrap();
    let refused = call.set(1, feature, "text").unwrap_err();
    assert_eq!(
        (refused.code(), refused.row()),
        (Code::DtypeMismatch, Some(1))
    );
    let error = call.run().unwrap_err();
    assert_eq!(error.code().family(), Family::Data);
    assert_eq!(error.num_faults(), error.faults().len());
    assert_eq!(error.faults().len(), 11); // five features must be set in each of two rows
    let fault = error
        .faults()
        .iter()
        .find(|fault| fault.code == Code::DtypeMismatch)
        .unwrap();
    assert_eq!((fault.row, fault.name.as_str()), (Some(1), first.as_str()));
    assert_eq!(
        (fault.expected.as_str(), fault.got.as_str()),
        ("float32", "string")
    );
    assert!(!error.is_retryable());
}

fn kinds(model: &sidecall::Model) -> Vec<Feature> {
    model
        .features()
        .map(|spec| model.feature(spec.name).unwrap())
        .collect()
}

const KINDS: [Value<'_>; 10] = [
    Value::F64(0.5),
    Value::F64(0.25),
    Value::I64(4),
    Value::Bool(true),
    Value::Str("b"),
    Value::F64(0.5),
    Value::F64(0.25),
    Value::I64(4),
    Value::Bool(true),
    Value::Str("b"),
];

#[test]
fn a_row_is_set_by_single_values_and_at_once() {
    let model = common::open("kinds.onnx");
    let (mut single, mut whole) = (model.call(1).unwrap(), model.call(1).unwrap());
    for (feature, value) in kinds(&model).into_iter().zip(KINDS) {
        single.set(0, feature, value).unwrap();
    }
    whole.set_row(0, &KINDS).unwrap();
    single.run().unwrap();
    whole.run().unwrap();
    for spec in model.columns() {
        let column = model.column(spec.name).unwrap();
        assert_eq!(
            single.value(0, column).unwrap(),
            whole.value(0, column).unwrap()
        );
    }
    assert_eq!(
        whole.set_row(0, &KINDS[1..]).unwrap_err().code(),
        Code::InvalidArgument
    );
    let two = &kinds(&model)[..2];
    assert_eq!(
        whole.set_features(0, two, &KINDS[..3]).unwrap_err().code(),
        Code::InvalidArgument
    );
    // The values of before are not run again.
    assert_eq!(whole.run().unwrap_err().code(), Code::InvalidArgument);
    whole.set_row(0, &KINDS).unwrap();
    whole.run().unwrap();
}

#[test]
fn a_table_is_set_by_columns_and_read_by_columns() {
    let model = common::open("kinds.onnx");
    let features = kinds(&model);
    let mut call = model.call(3).unwrap();
    for row in 0..3 {
        call.set_row(row, &KINDS).unwrap();
    }
    call.set_feature_f64(features[1], &[1.0, f64::NAN, 3.0], &[])
        .unwrap();
    call.set_feature_i64(features[2], &[1, 2, 3], &[false, true, false])
        .unwrap();
    call.set_feature_bool(features[3], &[true, false, true], &[])
        .unwrap();
    call.set_feature_str(features[4], "äb", &[0, 2, 2, 3], &[])
        .unwrap();
    let words = ["äb", "", "a"].map(str::to_owned);
    call.set_feature_strs(features[4], &words, &[false, true, false])
        .unwrap();
    let short = call.set_feature_strs(features[4], &words[1..], &[]);
    assert_eq!(short.unwrap_err().code(), Code::InvalidArgument);
    let wrong = call.set_feature_f64(features[1], &[1.0], &[]).unwrap_err();
    assert_eq!(wrong.code(), Code::InvalidArgument);
    call.clear().unwrap();
    for row in 0..3 {
        call.set_row(row, &KINDS).unwrap();
    }
    call.run().unwrap();
    let number = model
        .columns()
        .find(|spec| spec.dtype == sidecall::Dtype::FLOAT64)
        .map(|spec| model.column(spec.name).unwrap())
        .unwrap();
    let mut values = [0.0; 3];
    call.get_column_f64(number, &mut values).unwrap();
    for (row, value) in values.iter().enumerate() {
        assert_eq!(*value, call.get::<f64>(row, number).unwrap());
    }
    let short = call.get_column_f64(number, &mut values[..2]).unwrap_err();
    assert_eq!(short.code(), Code::InvalidArgument);
}

#[test]
fn texts_are_set_as_a_slice_or_back_to_back() {
    let model = common::open("penguins.onnx");
    let island = model.feature("island").unwrap();
    let column = model.column("probabilities.Adelie").unwrap();
    let (mut slice, mut packed) = (model.call(3).unwrap(), model.call(3).unwrap());
    let (mut by_slice, mut by_packed) = ([0.0; 3], [0.0; 3]);
    let missing = [false, true, false];
    slice.clear().unwrap();
    slice
        .set_feature_strs(island, &["Dream", "x", "Biscoe"], &missing)
        .unwrap();
    packed.clear().unwrap();
    packed
        .set_feature_str(island, "DreamBiscoe", &[0, 5, 5, 11], &missing)
        .unwrap();
    for (call, values) in [(&mut slice, &mut by_slice), (&mut packed, &mut by_packed)] {
        call.run().unwrap();
        call.get_column_f64(column, values).unwrap();
    }
    assert_eq!(by_slice, by_packed);
    assert_ne!(by_slice[0], by_slice[2]);
}

#[test]
fn options_and_system_time_convert_into_values() {
    use std::time::{Duration, UNIX_EPOCH};
    assert_eq!(Value::from(None::<f64>), Value::Missing);
    assert_eq!(Value::from(Some(3_u8)), Value::I64(3));
    assert_eq!(Value::from(&Some("x".to_owned())), Value::Str("x"));
    let before = UNIX_EPOCH - Duration::from_millis(1);
    let instant = Value::Instant {
        seconds: -1,
        nanoseconds: 999_000_000,
    };
    assert_eq!(Value::from(before), instant);
    // Beyond int64 nothing overflows.
    if let Some(early) = UNIX_EPOCH.checked_sub(Duration::from_secs(1 << 63)) {
        let Value::Instant { seconds, .. } = Value::from(early) else {
            panic!("{early:?}");
        };
        assert_eq!(seconds, i64::MIN);
    }
}

#[test]
fn datetimes_follow_the_time_zone_of_their_feature() {
    let model = common::open("dates.onnx");
    let mut call = model.call(1).unwrap();
    call.clear().unwrap();
    for spec in model.features().filter(|spec| !spec.unit.is_empty()) {
        let feature = model.feature(spec.name).unwrap();
        let instant = call.set(0, feature, std::time::UNIX_EPOCH);
        assert_eq!(instant.is_ok(), !spec.zone.is_empty(), "{}", spec.name);
        let clock = Value::Datetime {
            seconds: 86_400,
            nanoseconds: 0,
        };
        assert!(call.set(0, feature, clock).is_ok(), "{}", spec.name);
        let broken = Value::Datetime {
            seconds: 0,
            nanoseconds: -1,
        };
        // As in C, this is a mistake of the program for a single value, and remembered in a row.
        let single = call.set(0, feature, broken).unwrap_err();
        assert_eq!(single.code(), Code::InvalidArgument);
        let row = call.set_features(0, &[feature], &[broken]).unwrap_err();
        assert_eq!(row.code(), Code::OutOfRange);
    }
}

#[test]
fn a_record_without_some_features_does_not_keep_those_of_another() {
    record! { struct Bill { bill_length_mm: f64 } }
    let model = common::open("penguins.onnx");
    let (whole, part) = (
        model.predictor::<Penguin, Species>().unwrap(),
        model.predictor::<Bill, Species>().unwrap(),
    );
    let bill = Bill {
        bill_length_mm: 48.2,
    };
    let expected = part.predict(&bill).unwrap();
    let mut call = model.call(1).unwrap();
    whole.predict_with(&mut call, &adelie()).unwrap();
    assert_eq!(part.predict_with(&mut call, &bill).unwrap(), expected);
    let mut two = model.call(2).unwrap();
    let error = part.predict_with(&mut two, &bill).unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    let mut other = common::open("penguins.onnx").call(1).unwrap();
    let error = part.predict_with(&mut other, &bill).unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
}

#[test]
fn a_record_may_have_no_fields_and_a_field_a_raw_name() {
    record! { struct Nothing {} }
    record! { struct Raw { r#type: f64 } }
    let model = common::open("penguins.onnx");
    let nothing = model.predictor::<Nothing, Species>().unwrap();
    assert!(!nothing.predict(&Nothing {}).unwrap().label.is_empty());
    let error = model.predictor::<Raw, Species>().unwrap_err();
    assert!(error.to_string().starts_with("feature 'type': "), "{error}");
}

#[test]
fn a_wrong_index_of_a_single_value_is_not_remembered() {
    let model = common::open("penguins.onnx");
    let island = model.feature("island").unwrap();
    let mut call = model.call(1).unwrap();
    let error = call.set(7, island, "Biscoe").unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    call.set(0, island, "Biscoe").unwrap();
    call.run().unwrap();
}
