//! Topics of living runs are never cleared, whoever looks from wherever; those of killed runs are.

use std::process::{Child, Command, Output, Stdio};

use crate::support::lab::Lab;
use streamgauge_support::wait_for;

/// A run that goes on until it is killed.
struct EndlessRun(Child);

impl EndlessRun {
    /// Starts it; gives the names of its topics, too.
    fn start(lab: &mut Lab) -> (Self, Vec<String>) {
        let before = topics(lab);
        let run = lab.start(&["run", "smoke", "-q", "--rate", "1k/s", "--duration", "1h"]);
        let run = Self(run);
        let mut made = Vec::new();
        wait_for("the run's topics", || {
            made = topics(lab);
            made.retain(|name| !before.contains(name));
            made.len() == 2
        });
        (run, made)
    }

    /// By SIGKILL: nothing is cleaned up.
    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for EndlessRun {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the cluster has of the lab.
fn topics(lab: &mut Lab) -> Vec<String> {
    let own = format!("{}.", lab.prefix);
    let mut names = lab.admin().list().unwrap();
    names.retain(|name| name.starts_with(&own));
    names
}

/// The same command in a namespace of processes of its own, as in a container that shares the state
/// folder; `None` after saying that none can be made.
fn in_namespace(command: &Command) -> Option<Command> {
    let flags = [&["-p", "-f", "--mount-proc"][..], &["-U", "-r", "-p", "-f", "--mount-proc"]];
    let works = |flags: &&&[&str]| {
        let tried =
            Command::new("unshare").args(**flags).arg("true").stderr(Stdio::null()).status();
        tried.is_ok_and(|status| status.success())
    };
    let Some(flags) = flags.iter().find(works) else {
        eprintln!("SKIPPED: no namespace of processes can be made here (unshare)");
        return None;
    };
    let mut inside = Command::new("unshare");
    inside.args(*flags).arg(command.get_program()).args(command.get_args()).env_clear();
    inside.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    inside.current_dir(command.get_current_dir().unwrap());
    Some(inside)
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_living_runs_topics_are_not_cleared_from_another_namespace() {
    let Some(mut lab) = Lab::new("living") else { return };
    let clear = lab.command(&["topics", "clear", "--yes"]);
    let Some(mut clear) = in_namespace(&clear) else { return };
    let (mut run, made) = EndlessRun::start(&mut lab);
    let answer = clear.output().unwrap();
    assert_eq!(answer.status.code(), Some(0), "{}", told(&answer));
    assert_eq!(told(&answer).matches("left alone").count(), 2, "{}", told(&answer));
    // Nor by name, nor by another name of the cluster.
    let named = lab.command_at(&lab.other_address(), &["topics", "clear", "--yes", &made[0]]);
    let answer = in_namespace(&named).unwrap().output().unwrap();
    assert_eq!(answer.status.code(), Some(1), "{}", told(&answer));
    assert!(told(&answer).contains("a run uses it"), "{}", told(&answer));
    assert_eq!(topics(&mut lab), made);
    // What has been killed is over, in whichever namespace.
    run.kill();
    let answer = clear.output().unwrap();
    assert_eq!(told(&answer).matches("deleted: ").count(), 2, "{}", told(&answer));
    assert!(topics(&mut lab).is_empty());
}

#[test]
fn a_topic_that_a_run_was_given_is_not_emptied_under_it() {
    let Some(lab) = Lab::new("given") else { return };
    let (events, results) = (format!("{}.events", lab.prefix), format!("{}.results", lab.prefix));
    lab.json(&["topics", "create"]);
    let given = ["--events-topic", &events, "--results-topic", &results];
    let endless = ["run", "smoke", "-q", "--rate", "1k/s", "--duration", "1h"];
    let mut run = EndlessRun(lab.start(&[&endless[..], &given].concat()));
    wait_for("its events", || {
        let rows = lab.json(&["topics", "describe", &events]);
        rows.as_array().unwrap().iter().any(|row| row["records"].as_u64() > Some(0))
    });
    let answer = lab.run(&["topics", "clear", "--yes"]);
    assert_eq!(told(&answer).matches("left alone").count(), 2, "{}", told(&answer));
    run.kill();
    let answer = lab.run(&["topics", "clear", "--yes"]);
    assert_eq!(told(&answer).matches("emptied: ").count(), 2, "{}", told(&answer));
}

#[test]
fn a_daemon_that_starts_deletes_what_killed_runs_left() {
    let Some(mut lab) = Lab::new("leftovers") else { return };
    let (mut killed, left) = EndlessRun::start(&mut lab);
    let (_living, used) = EndlessRun::start(&mut lab);
    let created = lab.json(&["topics", "create"]);
    killed.kill();
    // A daemon that has the folder, at another address of the same cluster.
    let address = lab.other_address();
    let daemon = lab
        .command_at(&address, &["serve", "--listen", "127.0.0.1:0"])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let _daemon = EndlessRun(daemon);
    let mut there = Vec::new();
    wait_for("the killed run's topics are gone", || {
        there = topics(&mut lab);
        !left.iter().any(|name| there.contains(name))
    });
    let created = created.as_array().unwrap().iter().map(|row| row["topic"].as_str().unwrap());
    let mut rest: Vec<&str> = used.iter().map(String::as_str).chain(created).collect();
    rest.sort_unstable();
    assert_eq!(there, rest);
    assert_eq!(lab.names(), rest, "and recorded");
}
