// SPDX-License-Identifier: GPL-2.0

//! Serves a controller: `nvme-device VFIO-USER-SOCKET CONTROL-SOCKET [SETTINGS]`, where the
//! settings are a JSON object.

use nvme_device::{
    control,
    controller::Controller,
    server::{serve, Shared},
    settings::Settings,
};
use std::{env, error::Error, path::Path, process::ExitCode};

fn run(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let (function, control, changes) = match arguments {
        [function, control] => (function, control, "{}"),
        [function, control, changes] => (function, control, changes.as_str()),
        _ => return Err("usage: nvme-device VFIO-USER-SOCKET CONTROL-SOCKET [SETTINGS]".into()),
    };
    let mut settings = Settings::default();
    settings.change(serde_json::from_str(changes)?)?;
    let shared = Shared::new(Controller::new(settings));
    shared.start();
    control::start(&shared, Path::new(control))?;
    Ok(serve(&shared, Path::new(function))?)
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("nvme-device: {error}");
            ExitCode::FAILURE
        }
    }
}
