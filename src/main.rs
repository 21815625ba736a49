//! The program `streamgauge`; see `streamgauge::cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    streamgauge::cli::main()
}
