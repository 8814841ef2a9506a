//! Runs that are started, awaited, cancelled and dropped: in process, over `shm:`, HTTP and gRPC.

mod common;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use common::{block_on, join, Server};
use sidecall::{Call, Code, Family, Model, Options, Tensor};

const MINUTE: Duration = Duration::from_secs(60);
const MOMENT: Duration = Duration::from_millis(20);
const LONG: i64 = 100_000; // rounds of the model
const FOREVER: i64 = 3_000_000; // they take longer than all waits of the tests

/// Calls `test` with slow.onnx on each route. A file has no server.
fn on_each_route(test: impl Fn(&Model, Option<Server>)) {
    static NUM_SERVERS: AtomicU32 = AtomicU32::new(0);
    test(&Model::open(common::path("slow.onnx")).unwrap(), None);
    for route in 0..3 {
        let name = format!("route-{}", NUM_SERVERS.fetch_add(1, Ordering::Relaxed));
        let (server, addresses) = common::serve_network("slow.onnx", &name);
        let options = Options::default().wait(MINUTE);
        let model = Model::open_with(&addresses[route], &options).unwrap();
        test(&model, Some(server));
    }
}

/// A call that answers `value`, after so many rounds.
fn call(model: &Model, value: f32, rounds: i64) -> Call {
    let mut call = model.call_lazy(1).unwrap();
    give(&mut call, value, rounds);
    call
}

fn give(call: &mut Call, value: f32, rounds: i64) {
    let [x, n] = ["x", "n"].map(|name| call.model().input(name).unwrap());
    call.copy_input(x, Tensor::new(&[value], &[1])).unwrap();
    call.copy_input(n, Tensor::new(&[rounds], &[])).unwrap();
}

fn answer(call: &Call) -> f32 {
    let output = call.model().output("y").unwrap();
    call.output(output).unwrap().as_slice::<f32>().unwrap()[0]
}

fn assert_usable(call: &mut Call) {
    give(call, 7.0, 0);
    block_on(call.run_async(None).unwrap()).unwrap();
    assert_eq!(answer(call), 7.0);
    give(call, 8.0, 0);
    call.run().unwrap();
    assert_eq!(answer(call), 8.0);
    assert!(!call.is_busy());
}

#[test]
fn many_runs_are_awaited_at_once_and_each_gets_its_own_answer() {
    on_each_route(|model, _server| {
        let mut calls: Vec<_> = (0..300).map(|i| call(model, i as f32, 0)).collect();
        for _ in 0..3 {
            let runs = calls.iter_mut().map(|call| call.run_async(None).unwrap());
            assert!(join(runs).iter().all(Result::is_ok));
            for (i, call) in calls.iter().enumerate() {
                assert_eq!(answer(call), i as f32);
            }
        }
    });
}

#[test]
fn threads_that_await_and_threads_that_finish_share_the_queue() {
    on_each_route(|model, _server| {
        std::thread::scope(|scope| {
            for i in 0..6_u8 {
                scope.spawn(move || {
                    let mut call = call(model, f32::from(i), 0);
                    for _ in 0..100 {
                        if i % 2 == 0 {
                            block_on(call.run_async(None).unwrap()).unwrap();
                        } else {
                            call.start(None).unwrap();
                            assert!(call.finish(None).unwrap());
                        }
                        assert_eq!(answer(&call), f32::from(i));
                    }
                });
            }
        });
    });
}

#[test]
fn a_deadline_and_a_cancel_end_a_run_and_the_call_stays_usable() {
    on_each_route(|model, _server| {
        let mut call = call(model, 1.0, FOREVER);
        let late = block_on(call.run_async(Some(MOMENT)).unwrap()).unwrap_err();
        assert_eq!(late.code(), Code::Timeout);
        assert_usable(&mut call);

        give(&mut call, 1.0, FOREVER);
        call.start(None).unwrap();
        assert!(!call.finish(Some(MOMENT)).unwrap());
        assert!(call.is_busy());
        assert_eq!(call.run().unwrap_err().code(), Code::Busy);
        assert_eq!(call.start(None).unwrap_err().code(), Code::Busy);
        call.canceller().cancel();
        assert_eq!(call.finish(None).unwrap_err().code(), Code::Cancelled);
        assert_eq!(call.finish(None).unwrap_err().code(), Code::NotRun);
        assert_usable(&mut call);
    });
}

#[test]
fn a_run_that_is_dropped_is_cancelled_and_the_call_stays_usable() {
    on_each_route(|model, _server| {
        let mut call = call(model, 1.0, FOREVER);
        drop(call.run_async(None).unwrap());
        assert_usable(&mut call);
        give(&mut call, 1.0, FOREVER);
        // Polled until its task sleeps.
        let mut running = Box::pin(call.run_async(None).unwrap());
        let begin = Instant::now();
        while begin.elapsed() < MOMENT {
            assert!(common::poll_once(running.as_mut()).is_pending());
        }
        drop(running);
        assert_usable(&mut call);
    });
}

#[test]
fn a_call_that_is_dropped_during_a_run_disturbs_no_other() {
    on_each_route(|model, _server| {
        for _ in 0..3 {
            let mut dropped = call(model, 1.0, LONG);
            dropped.start(None).unwrap();
            drop(dropped);
            let mut leaked = call(model, 1.0, LONG);
            std::mem::forget(leaked.run_async(None).unwrap());
            drop(leaked);
            assert_usable(&mut call(model, 1.0, 0));
        }
    });
}

#[test]
fn faults_of_the_inputs_are_told_at_once_and_leave_no_run() {
    on_each_route(|model, _server| {
        let mut call = model.call_lazy(1).unwrap();
        assert_eq!(call.start(None).unwrap_err().code(), Code::MissingInput);
        assert!(!call.is_busy());
        assert_eq!(call.finish(None).unwrap_err().code(), Code::NotRun);
        let missing = block_on(call.run_async(None).unwrap()).unwrap_err();
        assert_eq!((missing.code(), missing.name()), (Code::MissingInput, "x"));
        assert_usable(&mut call);
    });
}

#[test]
fn a_run_whose_server_is_killed_fails_and_may_be_tried_again() {
    on_each_route(|model, server| {
        let Some(server) = server else { return };
        let mut call = call(model, 1.0, FOREVER);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(MOMENT);
                drop(server);
            });
            let error = block_on(call.run_async(None).unwrap()).unwrap_err();
            assert_eq!(error.code().family(), Family::Channel);
            assert!(error.is_retryable(), "{error}");
        });
    });
}

#[test]
fn a_task_that_sleeps_is_woken_while_another_polls_and_stops() {
    let (_server, [address, ..]) = common::serve_network("slow.onnx", "grace");
    let model = Model::open_with(&address, &Options::default().wait(MINUTE)).unwrap();
    let file = Model::open(common::path("slow.onnx")).unwrap();
    std::thread::scope(|scope| {
        let sleeper = scope.spawn(|| {
            let mut call = call(&file, 1.0, 20_000);
            block_on(call.run_async(None).unwrap()).unwrap();
        });
        let mut call = call(&model, 2.0, 0);
        for _ in 0..1000 {
            block_on(call.run_async(None).unwrap()).unwrap();
        }
        // This task has looked last, and never looks again: the thread has to take.
        let mut running = Box::pin(call.run_async(None).unwrap());
        for _ in 0..2 {
            let _ = common::poll_once(running.as_mut());
        }
        sleeper.join().unwrap();
    });
}

/// `test:` is a folder of engines/ that only test builds have, and that no language knows.
#[test]
fn a_new_route_needs_nothing_from_this_crate() {
    let double = |run_ms: u32| Model::open(format!("test:double?run_ms={run_ms}")).unwrap();
    let call = |model: &Model, x: f32| {
        let mut call = model.call_lazy(1).unwrap();
        let input = model.input("x").unwrap();
        call.copy_input(input, Tensor::new(&[x], &[1])).unwrap();
        call
    };
    let model = double(20);
    let mut calls: Vec<_> = (0..40).map(|i| call(&model, i as f32)).collect();
    let runs = calls.iter_mut().map(|call| call.run_async(None).unwrap());
    assert!(join(runs).iter().all(Result::is_ok));
    for (i, call) in calls.iter_mut().enumerate() {
        assert_eq!(answer(call), 2.0 * i as f32);
        call.run().unwrap();
        assert_eq!(answer(call), 2.0 * i as f32);
    }
    let mut late = call(&double(60_000), 1.0);
    assert_eq!(late.run_within(MOMENT).unwrap_err().code(), Code::Timeout);
    let error = block_on(late.run_async(Some(MOMENT)).unwrap()).unwrap_err();
    assert_eq!(error.code(), Code::Timeout);
    assert_eq!(
        Model::open("test:triple").unwrap_err().code(),
        Code::InvalidArgument
    );
}
