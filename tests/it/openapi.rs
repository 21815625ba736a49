//! A property-based tester (schemathesis, a Python package) finds no answer of the API that is a
//! server error or is not documented.
//!
//! Needs `schemathesis` on the path (`pip install schemathesis`); without it the test is skipped
//! and says so, with `STREAMGAUGE_REQUIRE_SCHEMATHESIS=1` it fails.

use std::process::{Command, Stdio};

use crate::support::daemon::Lab;

#[test]
fn a_property_based_tester_finds_nothing_undocumented() {
    let version = Command::new("schemathesis")
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if !version.is_ok_and(|status| status.success()) {
        let required =
            std::env::var("STREAMGAUGE_REQUIRE_SCHEMATHESIS").is_ok_and(|value| value == "1");
        assert!(
            !required,
            "STREAMGAUGE_REQUIRE_SCHEMATHESIS=1, but there is no `schemathesis` on the path"
        );
        eprintln!("SKIPPED: this test needs `schemathesis` on the path (pip install schemathesis)");
        return;
    }
    // Runs that the tester starts are over before long, and take little of the machine.
    let lab = Lab::new(&[
        ("workload.duration", "300ms"),
        ("workload.rate", "1k/s"),
        ("workload.warmup", "0s"),
    ]);
    // There is a run to be found, so that not every answer is 404.
    let run_id = lab.start("200ms");
    lab.over(&run_id);
    let output = Command::new("schemathesis")
        .args([
            "run",
            &lab.url("/openapi.json"),
            "--max-examples",
            "15",
            "--seed",
            "1",
            "--no-color",
        ])
        .args(["--checks", CHECKS, "--request-timeout", "30", "--suppress-health-check", "all"])
        .current_dir(lab.folder.path())
        .output()
        .unwrap();
    let found = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{found}\n{}", String::from_utf8_lossy(&output.stderr));
    println!(
        "{}",
        found
            .lines()
            .rev()
            .take(12)
            .collect::<Vec<_>>()
            .into_iter()
            .rev()
            .collect::<Vec<_>>()
            .join("\n")
    );
    assert_eq!(lab.get("/livez").status, 200);
}

const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_schema_conformance,\
                      response_headers_conformance,unsupported_method,allow_header_conformance";
