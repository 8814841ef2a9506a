//! What the tests share: the models of the tests of all languages, and JSON.
#![allow(dead_code)] // each test program uses a part

pub mod json;

use std::future::Future;
use std::pin::Pin;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::task::{Context, Poll, Wake};

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

/// Wakes a thread that is parked.
struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs futures on this thread, and returns their outcomes in the same order.
pub fn join<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut context = Context::from_waker(&waker);
    let mut futures: Vec<_> = futures.into_iter().map(Box::pin).collect();
    let mut outcomes: Vec<_> = futures.iter().map(|_| None).collect();
    loop {
        for (future, outcome) in futures.iter_mut().zip(&mut outcomes) {
            if outcome.is_none() {
                if let Poll::Ready(ready) = future.as_mut().poll(&mut context) {
                    *outcome = Some(ready);
                }
            }
        }
        if outcomes.iter().all(Option::is_some) {
            return outcomes.into_iter().flatten().collect();
        }
        std::thread::park();
    }
}

/// Polls a future as a task that ignores its wake-ups would.
pub fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    let waker = Arc::new(Unpark(std::thread::current())).into();
    future.poll(&mut Context::from_waker(&waker))
}

pub fn block_on<F: Future>(future: F) -> F::Output {
    join([future]).pop().unwrap()
}

/// A server of one model, which ends with this value.
pub struct Server {
    child: Child,
    socket: String,
}

impl Server {
    /// Takes a server that serves at this address.
    pub fn new(child: Child, address: &str) -> Self {
        let socket = address.trim_start_matches("shm:").to_owned();
        Self { child, socket }
    }

    /// Keeps the process from answering until [`Server::resume`].
    pub fn stop(&self) {
        self.signal("STOP");
        // Its threads stop a little later than the signal is sent.
        let tasks = format!("/proc/{}/task", self.child.id());
        let is_stopped = |task: std::io::Result<std::fs::DirEntry>| {
            let status = std::fs::read_to_string(task.unwrap().path().join("status"));
            status.map_or(true, |status| status.contains("State:\tT"))
        };
        while !std::fs::read_dir(&tasks).unwrap().all(is_stopped) {
            std::thread::yield_now();
        }
    }

    pub fn resume(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status();
        assert!(sent.expect("kill starts").success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        // A process that is killed leaves these.
        for end in ["", ".lock", ".http", ".grpc"] {
            let _ = std::fs::remove_file(format!("{}{end}", self.socket));
        }
    }
}

/// Serves a model at an address with that name, and returns the address.
pub fn serve(model: &str, name: &str) -> (Server, String) {
    serve_with(model, name, &[])
}

/// The same, and over HTTP and gRPC too. The addresses are those of `shm:`, HTTP and gRPC.
pub fn serve_network(model: &str, name: &str) -> (Server, [String; 3]) {
    let socket = format!("/tmp/sidecall-rust-{name}-{}.sock", std::process::id());
    let (http, grpc) = (format!("{socket}.http"), format!("{socket}.grpc"));
    let options = ["--http", &http, "--grpc", &grpc, "--name", "model"];
    let (server, address) = serve_with(model, name, &options);
    let addresses = [
        address,
        format!("http+unix:{http}/model"),
        format!("grpc+unix:{grpc}/model"),
    ];
    (server, addresses)
}

fn serve_with(model: &str, name: &str, options: &[&str]) -> (Server, String) {
    let command = std::env::var("SIDECALL_TEST_COMMAND")
        .expect("SIDECALL_TEST_COMMAND: the path of the sidecall command");
    let address = format!("shm:/tmp/sidecall-rust-{name}-{}.sock", std::process::id());
    let server = Command::new(command)
        .args(["serve", &path(model), "--at", &address, "--log-level=error"])
        .args(options)
        .stdin(Stdio::null())
        .spawn()
        .expect("the server starts");
    (Server::new(server, &address), address)
}
