//! Queries an exported model for records, one JSON object per line. Used by demo.py.
//!
//!     ask-rust MODEL RECORDS CALLS
//!
//! Prints one answer per record, and finally the time of a call in microseconds.

use std::time::{Duration, Instant};

use sidecall::Model;

/// Short rounds, some of which nothing interrupts; the fastest counts.
const ROUNDS: usize = 25;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().collect();
    let model = Model::open(&words[1])?;
    let text = std::fs::read_to_string(&words[2])?;
    let records: Vec<&str> = text.lines().collect();
    for record in &records {
        println!("{}", model.predict_json(record)?);
    }
    let calls: u32 = words[3].parse()?;
    let mut best = Duration::MAX;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for record in records.iter().cycle().take(calls as usize) {
            model.predict_json(record)?;
        }
        best = best.min(start.elapsed());
    }
    println!("{:.2}", best.as_secs_f64() * 1e6 / f64::from(calls));
    Ok(())
}
