//! The client in Rust of the benchmark of languages; client.c describes the requests.

use std::future::Future;
use std::io::{BufRead, Write};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Instant;

use sidecall::{Call, Model, Result};

const FEATURES: usize = 30;
const ROWS: usize = 1024;
const BLOCK: usize = 64;

sidecall::record! {
    #[derive(Clone, Copy)]
    struct Row {
        x0: f64,
        x1: f64,
        x2: f64,
        x3: f64,
        x4: f64,
        x5: f64,
        x6: f64,
        x7: f64,
        x8: f64,
        x9: f64,
        x10: f64,
        x11: f64,
        x12: f64,
        x13: f64,
        x14: f64,
        x15: f64,
        x16: f64,
        x17: f64,
        x18: f64,
        x19: f64,
        x20: f64,
        x21: f64,
        x22: f64,
        x23: f64,
        x24: f64,
        x25: f64,
        x26: f64,
        x27: f64,
        x28: f64,
        x29: f64,
    }
}

sidecall::answer! {
    struct Verdict {
        probability: f64 => "probabilities.1",
    }
}

impl Row {
    fn of(numbers: &[f64]) -> Self {
        // SAFETY: a Row is 30 numbers, which any bits are, and the slice has as many.
        unsafe { std::ptr::read_unaligned(numbers[..FEATURES].as_ptr().cast()) }
    }
}

fn answer(times: &[i64], answers: &[f64]) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "ok {} {}", times.len(), answers.len()).unwrap();
    let times = times.iter().flat_map(|time| time.to_ne_bytes());
    let answers = answers.iter().flat_map(|answer| answer.to_ne_bytes());
    out.write_all(&times.chain(answers).collect::<Vec<_>>())
        .unwrap();
    out.flush().unwrap();
}

fn nanoseconds(begin: Instant) -> i64 {
    begin.elapsed().as_nanos() as i64
}

/// Times blocks of calls of `one`.
fn blocks(first: usize, count: usize, mut one: impl FnMut(usize) -> Result<f64>) -> Result<()> {
    let mut times = Vec::with_capacity(count);
    let mut answers = Vec::with_capacity(count * BLOCK);
    for block in 0..count {
        let begin = Instant::now();
        for i in block * BLOCK..(block + 1) * BLOCK {
            answers.push(one((first + i) % ROWS)?);
        }
        times.push(nanoseconds(begin));
    }
    answer(&times, &answers);
    Ok(())
}

/// The tasks that are to be polled, and the thread that does it.
struct Ready {
    tasks: Mutex<Vec<usize>>,
    thread: Thread,
}

/// Wakes one task.
struct WakeTask {
    index: usize,
    ready: Arc<Ready>,
}

impl Wake for WakeTask {
    fn wake(self: Arc<Self>) {
        self.ready.tasks.lock().unwrap().push(self.index);
        self.ready.thread.unpark();
    }
}

/// One task predicts the rows `index`, `index + flight`, ... one after the other.
async fn task(
    call: &mut Call,
    rows: &[f64],
    index: usize,
    flight: usize,
    out: &[std::cell::Cell<f64>],
) -> Result<()> {
    let column = call.model().column("probabilities.1")?;
    for i in (index..out.len()).step_by(flight) {
        let row = &rows[i % ROWS * FEATURES..][..FEATURES];
        let mut values = [sidecall::Value::Missing; FEATURES];
        for (value, number) in values.iter_mut().zip(row) {
            *value = (*number).into();
        }
        call.set_row(0, &values)?;
        call.run_async(None)?.await?;
        out[i].set(call.get(0, column)?);
    }
    Ok(())
}

fn served(uri: &str, rows: &[f64], runs: usize, flight: usize) -> Result<()> {
    let model = Model::open(uri)?;
    let answers = vec![std::cell::Cell::new(0.0); runs];
    let mut calls = Vec::new();
    for _ in 0..flight {
        calls.push(model.call(1)?);
    }
    let ready = Arc::new(Ready {
        tasks: Mutex::new((0..flight).collect()),
        thread: std::thread::current(),
    });
    let wakers: Vec<Waker> = (0..flight)
        .map(|index| {
            Waker::from(Arc::new(WakeTask {
                index,
                ready: ready.clone(),
            }))
        })
        .collect();
    let begin = Instant::now();
    let mut tasks: Vec<_> = calls
        .iter_mut()
        .enumerate()
        .map(|(index, call)| Box::pin(task(call, rows, index, flight, &answers)))
        .collect();
    let mut running = flight;
    while running > 0 {
        let woken = std::mem::take(&mut *ready.tasks.lock().unwrap());
        if woken.is_empty() {
            std::thread::park();
        }
        for index in woken {
            let mut context = Context::from_waker(&wakers[index]);
            if let Poll::Ready(ended) = tasks[index].as_mut().poll(&mut context) {
                ended?;
                running -= 1;
            }
        }
    }
    drop(tasks);
    let answers: Vec<f64> = answers.iter().map(std::cell::Cell::get).collect();
    answer(&[nanoseconds(begin)], &answers);
    Ok(())
}

fn serve_requests(model: &str, rows: &[f64]) -> Result<()> {
    let model = Model::open(model)?;
    let predictor = model.predictor::<Row, Verdict>()?;
    let mut call = model.call(1)?;
    let mut records = model.call(1)?;
    let (input, output) = (model.input("X")?, model.output("probabilities")?);
    let typed: Vec<Row> = rows.chunks_exact(FEATURES).map(Row::of).collect();
    for line in std::io::stdin().lock().lines() {
        let line = line.unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["call", first, count] => {
                let mut runs = call.in_place::<f32, f32>(input, output)?;
                blocks(first.parse().unwrap(), count.parse().unwrap(), |row| {
                    let numbers = &rows[row * FEATURES..][..FEATURES];
                    for (to, from) in runs.input().iter_mut().zip(numbers) {
                        *to = *from as f32;
                    }
                    Ok(runs.run()?[1].into())
                })?;
            }
            ["record", first, count] => {
                blocks(first.parse().unwrap(), count.parse().unwrap(), |row| {
                    Ok(predictor
                        .predict_with(&mut records, &typed[row])?
                        .probability)
                })?;
            }
            ["served", uri, runs, flight] => {
                served(uri, rows, runs.parse().unwrap(), flight.parse().unwrap())?;
            }
            _ => panic!("unknown request: {line}"),
        }
    }
    Ok(())
}

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let bytes = std::fs::read(&words[2]).unwrap();
    let numbers = bytes
        .chunks_exact(8)
        .map(|b| f64::from_ne_bytes(b.try_into().unwrap()));
    if let Err(error) = serve_requests(&words[1], &numbers.collect::<Vec<_>>()) {
        println!("error {error}");
        std::process::exit(1);
    }
}
