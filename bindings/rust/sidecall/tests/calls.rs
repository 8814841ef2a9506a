//! Opening, tensors, deadlines, and runs that are started, finished and cancelled.

mod common;

use std::time::Duration;

use common::block_on;
use sidecall::{Code, Dtype, Engine, Family, Model, Options, Tensor};

#[test]
fn files_that_cannot_be_opened_are_refused_with_their_reason() {
    let missing = Model::open("/nowhere/fraud.onnx").unwrap_err();
    assert_eq!(missing.code(), Code::FileNotFound);
    assert_eq!(missing.code().family(), Family::File);
    assert_eq!(missing.code().name(), "FILE_NOT_FOUND");
    assert!(
        missing.to_string().contains("/nowhere/fraud.onnx"),
        "{missing}"
    );
    assert_eq!(
        Model::open("a\0b").unwrap_err().code(),
        Code::InvalidArgument
    );
    let options = Options::default();
    let bytes = Model::from_bytes(b"not a model", &options).unwrap_err();
    assert_eq!(bytes.code(), Code::FileInvalid);
    assert_eq!(
        Model::open("exec:true").unwrap_err().code(),
        Code::InvalidArgument
    );
    let without_server = Model::open("shm:/tmp/without-server.sock").unwrap_err();
    assert_eq!(without_server.code(), Code::Unreachable);
    assert!(without_server.is_retryable());
}

#[test]
fn a_model_tells_what_it_is() {
    let model = common::open("penguins.onnx");
    assert!(model.engine().starts_with("native"));
    assert_eq!(model.id().len(), 64);
    assert!(model.contract().unwrap().starts_with('{'));
    assert!(model.warning().is_none());
    assert!(model.verify().unwrap().contains("\"holds\":true"));
    assert_eq!(model.features().count(), 7);
    assert!(model
        .columns()
        .any(|column| column.name == "probabilities.Adelie"));
    assert!(model.outputs().all(|output| output.has_rows));
    assert_eq!(
        model.input("nothing").unwrap_err().code(),
        Code::UnknownName
    );
    let bytes = std::fs::read(common::path("penguins.onnx")).unwrap();
    let options = Options::default().engine(Engine::Native);
    assert_eq!(
        Model::from_bytes(&bytes, &options).unwrap().id(),
        model.id()
    );
}

#[test]
fn tensors_are_copied_or_written_in_place() {
    let model = common::open("add.onnx");
    let spec = model.inputs().next().unwrap();
    let (input, output) = (model.input(spec.name).unwrap(), {
        let name = model.outputs().next().unwrap().name;
        model.output(name).unwrap()
    });
    let mut call = model.call(1).unwrap();
    let values = [1.0_f32, 2.0, 3.0, 4.0];
    call.copy_input(input, Tensor::new(&values, &[2, 2]))
        .unwrap();
    call.run().unwrap();
    let copied = call
        .output(output)
        .unwrap()
        .as_slice::<f32>()
        .unwrap()
        .to_vec();
    assert_eq!(call.output(output).unwrap().dims(), Some(&[2, 2][..]));
    call.input(input)
        .unwrap()
        .as_mut_slice::<f32>()
        .unwrap()
        .copy_from_slice(&values);
    call.run().unwrap();
    assert_eq!(
        call.output(output).unwrap().as_slice::<f32>().unwrap(),
        copied
    );

    let view = call.output(output).unwrap();
    assert_eq!(view.dtype(), Dtype::FLOAT32);
    assert_eq!(
        view.as_slice::<f64>().unwrap_err().code(),
        Code::DtypeMismatch
    );
    assert_eq!(view.str_at(0).unwrap_err().code(), Code::DtypeMismatch);
    let wrong = call
        .copy_input(input, Tensor::new(&[1_i64, 2], &[1, 2]))
        .unwrap_err();
    assert_eq!(wrong.code(), Code::DtypeMismatch);
    let short = call
        .copy_input(input, Tensor::new(&values[..3], &[2, 2]))
        .unwrap_err();
    assert_eq!(short.code(), Code::ShapeMismatch);
}

#[test]
fn strings_are_copied_and_read() {
    let model = common::open("identity_string.onnx");
    let input = model.input(model.inputs().next().unwrap().name).unwrap();
    let output = model.output(model.outputs().next().unwrap().name).unwrap();
    let mut call = model.call(1).unwrap();
    call.copy_input(input, Tensor::strings("aé", &[0, 1, 3], &[2]))
        .unwrap();
    call.run().unwrap();
    let view = call.output(output).unwrap();
    assert_eq!(
        (view.str_at(0).unwrap(), view.str_at(1).unwrap()),
        ("a", "é")
    );
    assert_eq!(view.str_at(2).unwrap_err().code(), Code::InvalidArgument);
    let few = call
        .copy_input(input, Tensor::strings("aé", &[0, 1], &[2]))
        .unwrap_err();
    assert_eq!(few.code(), Code::InvalidArgument);
    let beyond = call
        .copy_input(input, Tensor::strings("a", &[0, 1, 3], &[2]))
        .unwrap_err();
    assert_eq!(beyond.code(), Code::ShapeMismatch);
}

#[test]
fn outputs_cannot_be_read_before_a_run() {
    let model = common::open("penguins.onnx");
    let call = model.call(1).unwrap();
    let label = model.column("label").unwrap();
    assert_eq!(call.str_at(0, label).unwrap_err().code(), Code::NotRun);
    assert_eq!(model.call(0).unwrap_err().code(), Code::InvalidArgument);
}

#[test]
fn a_started_run_is_finished_once() {
    let model = common::open("penguins.onnx");
    let mut call = model.call_lazy(1).unwrap();
    call.clear().unwrap();
    call.set(0, model.feature("island").unwrap(), "Torgersen")
        .unwrap();
    call.start(None).unwrap();
    while !call.finish(Some(Duration::from_millis(10))).unwrap() {}
    let label = model.column("label").unwrap();
    assert!(!call.str_at(0, label).unwrap().is_empty());
    assert_eq!(call.finish(None).unwrap_err().code(), Code::NotRun);
    assert!(!call.is_busy());
    // A deadline that has passed is the shortest one.
    if let Err(error) = call.run_within(Duration::ZERO) {
        assert_eq!(error.code(), Code::Timeout);
    }
}

#[test]
fn a_canceller_may_outlive_its_call() {
    let model = common::open("penguins.onnx");
    let call = model.call(1).unwrap();
    let canceller = call.canceller();
    let thread = std::thread::spawn(move || {
        canceller.cancel();
        canceller
    });
    drop(call);
    thread.join().unwrap().cancel();
}

#[test]
fn models_and_bindings_may_be_shared_and_calls_moved() {
    fn is_shared<T: Send + Sync>() {}
    fn is_moved<T: Send>() {}
    is_shared::<Model>();
    is_shared::<sidecall::Canceller>();
    is_shared::<sidecall::Error>();
    is_moved::<sidecall::Call>();
}

#[test]
fn a_run_is_awaited_without_a_runtime() {
    let model = common::open("penguins.onnx");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut call = model.call(1).unwrap();
                let island = model.feature("island").unwrap();
                for _ in 0..50 {
                    call.clear().unwrap();
                    call.set(0, island, "Torgersen").unwrap();
                    block_on(call.run_async(None).unwrap()).unwrap();
                    call.set(0, island, 7).unwrap_err();
                    let refused = call.run_async(None).map(block_on);
                    let error = refused.and_then(|outcome| outcome).unwrap_err();
                    assert_eq!(error.code(), Code::DtypeMismatch);
                }
            });
        }
    });
}

#[test]
fn a_future_that_is_dropped_leaves_no_record_to_answer_for() {
    let model = common::open("penguins.onnx");
    let island = model.feature("island").unwrap();
    let label = model.column("label").unwrap();
    let mut call = model.call(20_000).unwrap();
    for word in ["Biscoe", "Torgersen"].repeat(10) {
        call.clear().unwrap();
        for row in 0..call.rows() {
            call.set(row, island, "Dream").unwrap();
        }
        drop(call.run_async(None).unwrap());
        // The next values are set, not refused with BUSY.
        call.clear().unwrap();
        for row in 0..call.rows() {
            call.set(row, island, word).unwrap();
        }
        call.run().unwrap();
        let mut alone = model.call(1).unwrap();
        alone.clear().unwrap();
        alone.set(0, island, word).unwrap();
        alone.run().unwrap();
        assert_eq!(
            call.str_at(0, label).unwrap(),
            alone.str_at(0, label).unwrap()
        );
    }
}

#[test]
fn a_waker_may_panic_or_own_another_call() {
    use std::future::Future;
    use std::sync::{Arc, Mutex};
    use std::task::{Context, Wake, Waker};

    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("a waker that panics, on purpose");
        }
    }
    struct Owns(#[allow(dead_code)] Mutex<sidecall::Call>);
    impl Wake for Owns {
        fn wake(self: Arc<Self>) {}
    }
    let model = common::open("penguins.onnx");
    // Many rows, so that the run is not over when it is polled.
    let mut call = model.call(20_000).unwrap();
    let mut other = model.call(1).unwrap();
    for one in [&mut call, &mut other] {
        one.clear().unwrap();
    }
    block_on(other.run_async(None).unwrap()).unwrap();
    let wakers = [
        Waker::from(Arc::new(Owns(Mutex::new(other)))),
        Waker::from(Arc::new(Panics)),
    ];
    let mut running = std::pin::pin!(call.run_async(None).unwrap());
    for waker in wakers {
        let _ = running.as_mut().poll(&mut Context::from_waker(&waker));
    }
    std::thread::sleep(Duration::from_millis(50));
    let mut later = model.call(1).unwrap();
    later.clear().unwrap();
    block_on(later.run_async(None).unwrap()).unwrap();
}

#[test]
fn outputs_have_no_elements_before_a_run() {
    let model = common::open("add.onnx");
    let output = model.output(model.outputs().next().unwrap().name).unwrap();
    let call = model.call(1).unwrap();
    let view = call.output(output).unwrap();
    assert_eq!(view.as_slice::<f32>().unwrap_err().code(), Code::NotRun);
}

#[test]
fn a_model_runs_in_place_without_looking_its_memory_up() {
    let model = common::open("gbm.onnx");
    let (input, output) = (
        model.input("X").unwrap(),
        model.output("probabilities").unwrap(),
    );
    let mut call = model.call(2).unwrap();
    let mut expected = model.call(2).unwrap();
    let mut runs = call.in_place::<f32, f32>(input, output).unwrap();
    assert_eq!(runs.input().len(), 60);
    for round in 0..3_u8 {
        let numbers: Vec<f32> = (0..60).map(|i| f32::from(round) * 7.5 + i as f32).collect();
        runs.input().copy_from_slice(&numbers);
        expected
            .copy_input(input, Tensor::new(&numbers, &[2, 30]))
            .unwrap();
        expected.run().unwrap();
        let wanted = expected.output(output).unwrap();
        assert_eq!(
            runs.run().unwrap(),
            wanted.as_slice::<f32>().unwrap(),
            "round {round}"
        );
    }
    assert_eq!(
        call.in_place::<f64, f32>(input, output).unwrap_err().code(),
        Code::DtypeMismatch
    );
    assert_eq!(
        call.in_place::<f32, i64>(input, output).unwrap_err().code(),
        Code::DtypeMismatch
    );
    // A run that fails, here for NaN, leaves the input and the next run as they were.
    let mut runs = call.in_place::<f32, f32>(input, output).unwrap();
    runs.input()[3] = f32::NAN;
    assert_eq!(runs.run().unwrap_err().code(), Code::MissingValue);
    runs.input()[3] = 1.0;
    assert_eq!(runs.run().unwrap().len(), 4);
}
