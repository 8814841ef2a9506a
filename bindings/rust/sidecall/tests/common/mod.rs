//! What the tests share: the models of the tests of all languages, and JSON.
#![allow(dead_code)] // each test program uses a part

pub mod json;

use std::process::{Child, Command, Stdio};

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
        for file in [self.socket.clone(), format!("{}.lock", self.socket)] {
            let _ = std::fs::remove_file(file);
        }
    }
}

/// Serves a model at an address with that name, and returns the address.
pub fn serve(model: &str, name: &str) -> (Server, String) {
    let command = std::env::var("SIDECALL_TEST_COMMAND")
        .expect("SIDECALL_TEST_COMMAND: the path of the sidecall command");
    let address = format!("shm:/tmp/sidecall-rust-{name}-{}.sock", std::process::id());
    let server = Command::new(command)
        .args(["serve", &path(model), "--at", &address, "--log-level=error"])
        .stdin(Stdio::null())
        .spawn()
        .expect("the server starts");
    (Server::new(server, &address), address)
}
