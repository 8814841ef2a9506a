//! Finds libsidecall.
//!
//! A package holds the static library of each machine in `lib`, which needs no library of C++.
//! `SIDECALL_LIB_DIR` names a folder with another library, shared or, with `SIDECALL_STATIC=1`,
//! static. In the repository, which has no `lib`, pkg-config tells where the library is.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    for name in ["SIDECALL_LIB_DIR", "SIDECALL_STATIC", "PKG_CONFIG_PATH"] {
        println!("cargo:rerun-if-env-changed={name}");
    }
    let is_static = env::var("SIDECALL_STATIC").is_ok_and(|value| value == "1");
    if let Ok(folder) = env::var("SIDECALL_LIB_DIR") {
        link(&folder, is_static);
    } else if let Some(folder) = find_packed() {
        println!("cargo:rustc-link-search=native={}", folder.display());
        println!("cargo:rustc-link-lib=static=sidecall");
        link_all(&["m", "dl", "pthread"]);
    } else {
        link(&ask_pkg_config(), is_static);
    }
}

fn link(folder: &str, is_static: bool) {
    println!("cargo:rustc-link-search=native={folder}");
    if is_static {
        println!("cargo:rustc-link-lib=static=sidecall");
        link_all(&["stdc++", "m", "dl", "pthread"]);
    } else {
        println!("cargo:rustc-link-lib=sidecall");
    }
}

fn link_all(libraries: &[&str]) {
    for library in libraries {
        println!("cargo:rustc-link-lib={library}");
    }
}

/// Returns the folder of the package that holds the library of the target.
fn find_packed() -> Option<PathBuf> {
    let root = env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    let part = |name| env::var(format!("CARGO_CFG_TARGET_{name}")).unwrap_or_default();
    let target = format!("{}-{}-{}", part("OS"), part("ENV"), part("ARCH"));
    let folder = Path::new(&root).join("lib").join(target);
    println!("cargo:rerun-if-changed={}", folder.display());
    folder.join("libsidecall.a").is_file().then_some(folder)
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
             that pkg-config finds, because this crate has no library for the target {}",
            env::var("TARGET").unwrap_or_default()
        ),
    }
}
