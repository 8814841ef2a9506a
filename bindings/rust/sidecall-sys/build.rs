//! Finds libsidecall.
//!
//! `SIDECALL_LIB_DIR` names the folder that holds the library. Without it, pkg-config is asked for
//! `sidecall`. `SIDECALL_STATIC=1` links libsidecall.a, which needs the C++ library.

use std::env;
use std::process::Command;

fn main() {
    for name in ["SIDECALL_LIB_DIR", "SIDECALL_STATIC", "PKG_CONFIG_PATH"] {
        println!("cargo:rerun-if-env-changed={name}");
    }
    let is_static = env::var("SIDECALL_STATIC").is_ok_and(|value| value == "1");
    let folder = match env::var("SIDECALL_LIB_DIR") {
        Ok(folder) => folder,
        Err(_) => ask_pkg_config(),
    };
    println!("cargo:rustc-link-search=native={folder}");
    if is_static {
        println!("cargo:rustc-link-lib=static=sidecall");
        for library in ["stdc++", "m", "dl", "pthread"] {
            println!("cargo:rustc-link-lib={library}");
        }
    } else {
        println!("cargo:rustc-link-lib=sidecall");
    }
}

fn ask_pkg_config() -> String {
    let asked = Command::new("pkg-config")
        .args(["--variable=libdir", "sidecall"])
        .output();
    match asked {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        }
        _ => panic!(
            "libsidecall was not found: expected its folder in SIDECALL_LIB_DIR, or a sidecall.pc \
             that pkg-config finds"
        ),
    }
}
