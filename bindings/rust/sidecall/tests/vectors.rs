//! Runs the cases of tests/vectors: in process, on the engine that sidecall chooses and on the
//! native engine; over `shm:`, and over HTTP and gRPC. tests/vectors/README.md has the rules.

mod common;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::json::Json;
use sidecall::{
    Call, Code, Dtype, Engine, Error, Extra, Form, Model, Options, Result, Tensor, Value, Verify,
    View,
};

/// What a case expects, in the words of the case.
struct Case<'a>(&'a Json);

/// Why a case failed; `None` if it passed.
type Problem = Option<String>;

/// A tensor of a case.
struct Given {
    dtype: Dtype,
    dims: Vec<i64>,
    bytes: Vec<u8>,
    offsets: Option<Vec<i64>>,
}

impl Given {
    fn read(json: &Json) -> Self {
        let dtype = dtype_of(json.member("dtype").unwrap().str());
        let dims = json.member("shape").unwrap().list();
        let mut given = Self {
            dtype,
            dims: dims.iter().map(Json::int).collect(),
            bytes: Vec::new(),
            offsets: (dtype == Dtype::STRING).then(|| vec![0]),
        };
        for element in json.member("data").unwrap().list() {
            given.push(element);
        }
        given
    }

    fn push(&mut self, element: &Json) {
        match self.dtype {
            Dtype::FLOAT32 => {
                let number = element.real() as f32;
                self.bytes.extend(number.to_ne_bytes());
            }
            Dtype::FLOAT64 => self.bytes.extend(element.real().to_ne_bytes()),
            Dtype::BOOL => self.bytes.push((*element == Json::Bool(true)).into()),
            Dtype::STRING => {
                match element {
                    Json::Object(_) => self.bytes.extend(from_hex(element)),
                    text => self.bytes.extend(text.str().as_bytes()),
                }
                let end = self.bytes.len() as i64;
                self.offsets.as_mut().unwrap().push(end);
            }
            dtype => {
                let width = dtype.bits().div_ceil(8).max(1);
                self.bytes.extend(&element.int().to_le_bytes()[..width]);
            }
        }
    }

    /// Strings of a tensor are a `str` in Rust, which is UTF-8.
    fn is_expressible(&self) -> bool {
        self.offsets.is_none() || std::str::from_utf8(&self.bytes).is_ok()
    }

    fn tensor(&self) -> Tensor<'_> {
        match &self.offsets {
            Some(offsets) => {
                let text = std::str::from_utf8(&self.bytes).unwrap();
                Tensor::strings(text, offsets, &self.dims)
            }
            None => Tensor::raw(self.dtype, &self.bytes, &self.dims),
        }
    }

    fn compare(&self, got: View<'_>, tolerance: f64) -> Problem {
        if self.dtype != got.dtype() || Some(&self.dims[..]) != got.dims() {
            return Some(format!("got {} {:?}", got.dtype(), got.dims()));
        }
        let differs = match self.dtype {
            Dtype::FLOAT32 => {
                let numbers = self.bytes.chunks_exact(4);
                let wanted = numbers.map(|b| f32::from_ne_bytes(b.try_into().unwrap()).into());
                let found = got.as_slice::<f32>().unwrap();
                !all_near(wanted, found.iter().map(|x| f64::from(*x)), tolerance)
            }
            Dtype::FLOAT64 => {
                let numbers = self.bytes.chunks_exact(8);
                let wanted = numbers.map(|b| f64::from_ne_bytes(b.try_into().unwrap()));
                let found = got.as_slice::<f64>().unwrap();
                !all_near(wanted, found.iter().copied(), tolerance)
            }
            Dtype::STRING => {
                let offsets = self.offsets.as_ref().unwrap();
                offsets.windows(2).enumerate().any(|(i, ends)| {
                    let wanted = &self.bytes[ends[0] as usize..ends[1] as usize];
                    got.str_at(i).unwrap().as_bytes() != wanted
                })
            }
            _ => self.bytes != got.bytes(),
        };
        differs.then(|| "other values".to_owned())
    }
}

fn all_near(
    wanted: impl Iterator<Item = f64>,
    found: impl Iterator<Item = f64>,
    tolerance: f64,
) -> bool {
    wanted.zip(found).all(|(a, b)| near(b, a, tolerance))
}

fn near(got: f64, wanted: f64, tolerance: f64) -> bool {
    if wanted.is_finite() {
        (got - wanted).abs() <= tolerance
    } else {
        got == wanted || (got.is_nan() && wanted.is_nan())
    }
}

fn dtype_of(name: &str) -> Dtype {
    let all = (0..64).map(Dtype::from_number);
    all.into_iter()
        .find(|dtype| dtype.name() == name)
        .expect(name)
}

fn from_hex(json: &Json) -> Vec<u8> {
    let digits = json.member("hex").unwrap().str();
    let pairs = (0..digits.len()).step_by(2);
    pairs
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap())
        .collect()
}

/// Whether an answer is the expected one. A number that is not finite is `null` in JSON.
fn is_same(wanted: &Json, got: &Json, tolerance: f64) -> bool {
    match (wanted, got) {
        (Json::Object(a), Json::Object(b)) => {
            a.len() == b.len()
                && a.iter().zip(b).all(|((name, value), (other, found))| {
                    name == other && is_same(value, found, tolerance)
                })
        }
        (Json::List(a), Json::List(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_same(a, b, tolerance))
        }
        (Json::Str(a), Json::Str(b)) => a == b,
        (Json::Str(word), Json::Null) => ["nan", "inf", "-inf"].contains(&word.as_str()),
        (Json::Str(_), Json::Real(found)) => near(*found, wanted.real(), 0.0),
        (Json::Int(a), Json::Int(b)) => near((b - a) as f64, 0.0, tolerance),
        (
            Json::Int(_) | Json::Uint(_) | Json::Real(_),
            Json::Int(_) | Json::Uint(_) | Json::Real(_),
        ) => near(got.real(), wanted.real(), tolerance),
        _ => wanted == got,
    }
}

impl Case<'_> {
    fn name(&self) -> &str {
        self.0.member("name").unwrap().str()
    }

    fn tolerance(&self) -> f64 {
        self.0.member("tolerance").map_or(0.0, Json::real)
    }

    fn expected_status(&self) -> Option<&str> {
        self.0.member("expect_status").map(Json::str)
    }

    fn open_member(&self, name: &str) -> Option<&str> {
        self.0
            .member("open")
            .and_then(|open| open.member(name))
            .map(Json::str)
    }

    fn options(&self, engine: Engine) -> Options {
        let verify = match self.open_member("verify") {
            Some("warn") => Verify::Warn,
            Some("off") => Verify::Off,
            _ => Verify::Error,
        };
        let extra = match self.open_member("extra") {
            Some("ignore") => Extra::Ignore,
            _ => Extra::Error,
        };
        Options::default()
            .verify(verify)
            .extra(extra)
            .engine(engine)
    }

    fn path(&self) -> String {
        match self.open_member("uri") {
            Some(uri) => uri.replace("$MODELS", common::path("").trim_end_matches('/')),
            None => common::path(self.0.member("model").unwrap().str()),
        }
    }

    fn open(&self, engine: Engine) -> Result<Model> {
        let options = self.options(engine);
        if self.open_member("as") == Some("bytes") {
            let bytes = std::fs::read(self.path()).unwrap();
            return Model::from_bytes(&bytes, &options);
        }
        Model::open_with(self.path(), &options)
    }

    /// Compares an error with the expected one.
    fn judge(&self, error: &Error) -> Problem {
        let Some(status) = self.expected_status() else {
            return Some(format!("{}: {error}", error.code().name()));
        };
        if error.code().name() != status {
            return Some(format!("got {}: {error}", error.code().name()));
        }
        let row = error.row().map_or(-1, |row| row as i64);
        for (key, wanted) in self.0.member("expect_error").map_or(&[][..], Json::members) {
            let got = match key.as_str() {
                "name" => Json::Str(error.name().to_owned()),
                "expected" => Json::Str(error.expected().to_owned()),
                "got" => Json::Str(error.got().to_owned()),
                "message" => Json::Str(error.to_string()),
                "row" => Json::Int(row),
                "num_faults" => Json::Int(error.num_faults() as i64),
                _ => panic!("{}: unknown key {key}", self.name()),
            };
            if got != *wanted {
                return Some(format!("{key}: expected {wanted:?}, got {got:?}"));
            }
        }
        None
    }

    /// Judges the outcome of one way of calling.
    fn attempt(&self, way: &str, outcome: Result<Problem>) -> Problem {
        let problem = match (outcome, self.expected_status()) {
            (Ok(problem), None) => problem,
            (Ok(_), Some(status)) => Some(format!("expected {status}, but it passed")),
            (Err(error), _) => self.judge(&error),
        };
        problem.map(|problem| format!("{way}: {problem}"))
    }

    /// Calls the model in all ways that this case and this language have.
    fn ask(&self, model: &Model, counts: &mut Counts) -> Problem {
        if let Some(inputs) = self.0.member("inputs") {
            let given: Vec<_> = inputs
                .members()
                .iter()
                .map(|(name, tensor)| (name, Given::read(tensor)))
                .collect();
            if given.iter().all(|(_, tensor)| tensor.is_expressible()) {
                let problem = self.attempt("run", self.run(model, &given));
                if problem.is_some() {
                    return problem;
                }
            } else {
                counts.not_utf8 += 1;
            }
        }
        let record = self.0.member("record");
        let text = match (self.0.member("json"), record) {
            (Some(Json::Object(_)), _) => {
                counts.not_utf8 += 1;
                None
            }
            (Some(json), _) => Some(json.str().to_owned()),
            (None, Some(record)) => {
                let mut text = String::new();
                record.write(&mut text);
                Some(text)
            }
            (None, None) => None,
        };
        if let Some(text) = text {
            let problem = self.attempt("json", self.predict_json(model, &text));
            if problem.is_some() {
                return problem;
            }
        }
        match record {
            Some(record) if has_native_form(model, record) => {
                self.attempt("values", self.predict(model, record))
            }
            Some(_) => {
                counts.no_values += 1;
                None
            }
            None => None,
        }
    }

    fn run(&self, model: &Model, given: &[(&String, Given)]) -> Result<Problem> {
        let mut call = model.call(1)?;
        for (name, tensor) in given {
            call.copy_input(model.input(name)?, tensor.tensor())?;
        }
        call.run()?;
        let wanted = self.0.member("outputs").map_or(&[][..], Json::members);
        for (name, tensor) in wanted {
            let got = call.output(model.output(name)?)?;
            if let Some(problem) = Given::read(tensor).compare(got, self.tolerance()) {
                return Ok(Some(format!("output {name}: {problem}")));
            }
        }
        Ok(None)
    }

    fn predict_json(&self, model: &Model, text: &str) -> Result<Problem> {
        let got = model.predict_json(text)?;
        Ok(self.compare_result(&Json::parse(&got)))
    }

    fn predict(&self, model: &Model, record: &Json) -> Result<Problem> {
        let records = match record {
            Json::List(records) => records.as_slice(),
            single => std::slice::from_ref(single),
        };
        let mut call = model.call(records.len())?;
        call.clear()?;
        for (row, record) in records.iter().enumerate() {
            let members = record.members().iter();
            let named = members.map(|(name, value)| Ok((model.feature(name)?, value_of(value))));
            let (features, values): (Vec<_>, Vec<_>) =
                named.collect::<Result<Vec<_>>>()?.into_iter().unzip();
            if !features.is_empty() {
                let _ = call.set_features(row, &features, &values); // the run reports refusals
            }
        }
        call.run()?;
        let answers = (0..records.len()).map(|row| answer_of(&call, row));
        let answers = answers.collect::<Result<Vec<_>>>()?;
        let got = match record {
            Json::List(_) => Json::List(answers),
            _ => answers.into_iter().next().unwrap(),
        };
        Ok(self.compare_result(&got))
    }

    fn compare_result(&self, got: &Json) -> Problem {
        let wanted = self.0.member("result")?;
        (!is_same(wanted, got, self.tolerance())).then(|| format!("got {got:?}"))
    }
}

/// Names that the model does not have are refused when they are looked up, and values of records
/// are scalars. A call has at least one row.
fn has_native_form(model: &Model, record: &Json) -> bool {
    match record {
        Json::List(records) => {
            !records.is_empty() && records.iter().all(|record| has_native_form(model, record))
        }
        Json::Object(members) => members.iter().all(|(name, value)| {
            !matches!(value, Json::List(_) | Json::Object(_) | Json::Uint(_))
                && model.feature(name).is_ok()
        }),
        _ => false,
    }
}

fn value_of(json: &Json) -> Value<'_> {
    match json {
        Json::Bool(flag) => (*flag).into(),
        Json::Int(number) => (*number).into(),
        Json::Real(number) => (*number).into(),
        Json::Str(text) => text.into(),
        _ => Value::Missing,
    }
}

fn answer_of(call: &Call, row: usize) -> Result<Json> {
    let mut members: Vec<(String, Json)> = Vec::new();
    for column in call.model().columns() {
        let value = match call.value(row, call.model().column(column.name)?)? {
            Value::F64(number) => Json::Real(number),
            Value::I64(number) => Json::Int(number),
            Value::Bool(flag) => Json::Bool(flag),
            Value::Str(text) => Json::Str(text.to_owned()),
            other => panic!("{other:?}"),
        };
        let output = match column.form {
            Form::Scalar => column.name,
            _ => &column.name[..column.name.len() - column.key.len() - 1],
        };
        match members.last_mut() {
            Some((name, Json::Object(inner))) if name == output && column.form == Form::Member => {
                inner.push((column.key.to_owned(), value));
            }
            Some((name, Json::List(items))) if name == output && column.form == Form::Element => {
                items.push(value);
            }
            _ => members.push((
                output.to_owned(),
                match column.form {
                    Form::Member => Json::Object(vec![(column.key.to_owned(), value)]),
                    Form::Element => Json::List(vec![value]),
                    _ => value,
                },
            )),
        }
    }
    Ok(Json::Object(members))
}

/// Ways of calling that Rust cannot express.
#[derive(Default, Debug)]
struct Counts {
    not_utf8: usize,
    no_values: usize,
}

fn read_cases() -> BTreeMap<String, Json> {
    let folder = PathBuf::from(common::path("../cases"));
    let mut cases = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        for case in Json::parse(&text).list() {
            let name = case.member("name").unwrap().str().to_owned();
            assert!(
                cases.insert(name, case.clone()).is_none(),
                "two cases of a name"
            );
        }
    }
    assert!(cases.len() >= 400, "{} cases", cases.len());
    cases
}

/// Runs a case over a model that `open` opens.
fn run_case(
    cases: &BTreeMap<String, Json>,
    case: &Case<'_>,
    open: impl FnOnce() -> Result<Model>,
    counts: &mut Counts,
) -> Problem {
    let only_opens = ["inputs", "record", "json"]
        .iter()
        .all(|key| case.0.member(key).is_none());
    let model = match open() {
        Ok(model) if only_opens => {
            drop(model);
            return case.attempt("open", Ok(None));
        }
        Ok(model) => model,
        Err(error) => return case.judge(&error).map(|problem| format!("open: {problem}")),
    };
    let problem = case.ask(&model, counts);
    match (problem, case.0.member("after")) {
        (None, Some(after)) => Case(&cases[after.str()])
            .ask(&model, counts)
            .map(|problem| format!("afterwards, {problem}")),
        (problem, _) => problem,
    }
}

#[test]
fn every_vector_passes_in_process() {
    let cases = read_cases();
    let mut counts = Counts::default();
    let mut wrong = Vec::new();
    for json in cases.values() {
        let case = Case(json);
        let open = || case.open(Engine::Auto);
        if let Some(problem) = run_case(&cases, &case, open, &mut counts) {
            wrong.push(format!("{}: {problem}", case.name()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(
        counts.not_utf8 <= 12 && counts.no_values <= 40,
        "{counts:?}"
    );
}

/// The native engine refuses some graphs, each with its reason; ONNX Runtime names other statuses
/// for files that contradict themselves.
#[test]
fn every_vector_passes_on_the_native_engine_or_is_refused_by_it() {
    let cases = read_cases();
    let mut refused = 0;
    let mut wrong = Vec::new();
    for json in cases.values() {
        let case = Case(json);
        let open = || case.open(Engine::Native);
        let Some(problem) = run_case(&cases, &case, open, &mut Counts::default()) else {
            continue;
        };
        let is_refusal = problem.contains("UNSUPPORTED") || problem.contains("got FILE_INVALID");
        if is_refusal && !problem.contains("but it passed") {
            refused += 1;
        } else {
            wrong.push(format!("{}: {problem}", case.name()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(refused * 10 <= cases.len(), "{refused} of {}", cases.len());
}

/// Cases of files that do not open have no server to call.
#[test]
fn every_vector_passes_over_shm() {
    let command = std::env::var("SIDECALL_TEST_COMMAND")
        .expect("SIDECALL_TEST_COMMAND: the path of the sidecall command");
    let cases = read_cases();
    let address = format!("shm:/tmp/sidecall-rust-vectors-{}.sock", std::process::id());
    let mut served = 0;
    let mut wrong = Vec::new();
    for json in cases.values() {
        let case = Case(json);
        if case.open(Engine::Auto).is_err() {
            continue;
        }
        served += 1;
        let verify = case.open_member("verify").unwrap_or("error");
        let server = Command::new(&command)
            .args(["serve", &case.path(), "--at", &address, "--log-level=error"])
            .env("SIDECALL_VERIFY", verify)
            .stdin(Stdio::null())
            .spawn();
        let _server = common::Server::new(server.unwrap(), &address);
        let open = || {
            let options = case.options(Engine::Auto).wait(Duration::from_secs(20));
            Model::open_with(&address, &options)
        };
        if let Some(problem) = run_case(&cases, &case, open, &mut Counts::default()) {
            wrong.push(format!("{}: {problem}", case.name()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(served >= 300, "{served} cases were served");
    assert_eq!(Model::open(&address).unwrap_err().code(), Code::Unreachable);
}

/// The Open Inference Protocol has no names for dimensions, and no way to say that an output has no
/// known shape; and it lacks some types.
const NOT_OVER_NETWORK: &str = "unshaped matmul_inner_differs bfloat16 float8 int4 rows_differ";

/// Without the details of errors, which name dimensions.
fn without_details(case: &Json) -> Json {
    let members = case.members().iter();
    let kept = members.filter(|(key, _)| key != "expect_error").cloned();
    Json::Object(kept.collect())
}

#[test]
fn every_vector_passes_over_the_network() {
    let cases: BTreeMap<_, _> = read_cases()
        .into_iter()
        .map(|(name, case)| (name, without_details(&case)))
        .collect();
    let mut files: BTreeMap<&str, Vec<Case<'_>>> = BTreeMap::new();
    for (name, json) in &cases {
        let case = Case(json);
        let asks = ["inputs", "record", "json"]
            .iter()
            .any(|key| json.member(key).is_some());
        let is_path = case.open_member("uri").is_none() && case.open_member("as").is_none();
        let is_known = !NOT_OVER_NETWORK.split(' ').any(|part| name.contains(part));
        if asks && is_path && is_known {
            let file = json.member("model").unwrap().str();
            files.entry(file).or_default().push(case);
        }
    }
    let mut served = 0;
    let mut wrong = Vec::new();
    for (file, those) in files {
        if Model::open(common::path(file)).is_err() {
            continue;
        }
        let (_server, [_, http, grpc]) = common::serve_network(file, "network");
        for case in those {
            served += 1;
            for address in [&http, &grpc] {
                let options = case.options(Engine::Auto).wait(Duration::from_secs(20));
                let open = || Model::open_with(address, &options);
                if let Some(problem) = run_case(&cases, &case, open, &mut Counts::default()) {
                    wrong.push(format!("{}, {address}: {problem}", case.name()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(served >= 200, "{served} cases were served");
}
