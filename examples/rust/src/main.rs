//! Asks a model about one penguin, and shows how a bad record is refused.   penguins [MODEL]
//!
//! MODEL is a file or the address of a server, such as shm:penguins; penguins.onnx by default.

use sidecall::{Model, Result};

sidecall::record! {
    struct Penguin {
        island: &'static str,
        sex: Option<String>,
        bill_length_mm: f64,
        bill_depth_mm: f64,
        flipper_length_mm: f64,
        body_mass_g: f64,
    }
}

sidecall::answer! {
    struct Species {
        label: String,
        gentoo: f64 => "probabilities.Gentoo",
    }
}

fn ask(model: &Model) -> Result<()> {
    // A program that asks often keeps this predictor. Any number of threads may use it at once.
    let species = model.predictor::<Penguin, Species>()?;
    let answer = species.predict(&Penguin {
        island: "Biscoe",
        sex: None,
        bill_length_mm: 48.2,
        bill_depth_mm: 14.3,
        flipper_length_mm: 215.0,
        body_mass_g: 4900.0,
    })?;
    println!("label: {}", answer.label);
    println!("probabilities.Gentoo: {:.4}", answer.gentoo);
    Ok(())
}

/// `predict_json` takes a record as one text. If the record is refused, the error lists all faults.
fn ask_badly(model: &Model) -> Result<()> {
    let record = r#"{"island": "Biscoe", "bill_length_mm": "long", "body_mass_g": "heavy"}"#;
    match model.predict_json(record) {
        Err(error) if !error.faults().is_empty() => {
            for fault in error.faults() {
                println!("refused: {}", fault.message);
            }
            Ok(())
        }
        other => other.map(drop), // the run itself has failed
    }
}

fn main() -> std::process::ExitCode {
    let path = std::env::args().nth(1).unwrap_or("penguins.onnx".into());
    let asked = Model::open(path).and_then(|model| ask(&model).and_then(|()| ask_badly(&model)));
    if let Err(error) = asked {
        eprintln!("{error} ({})", error.code().name());
        return std::process::ExitCode::FAILURE;
    }
    std::process::ExitCode::SUCCESS
}
