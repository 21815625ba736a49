//! The live page, driven in a real browser against the real daemon: a run started, seen, restarted,
//! read and compared.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use streamgauge_actors::{Clock as _, LatencyKind, RunClock, SECOND};
use tempfile::TempDir;

use crate::support::webdriver::{Browser, ENTER, RIGHT, TAB};

/// How long the daemon may take to listen.
const STARTS_WITHIN_S: i64 = 20;
/// Presses of the tabulator that reach any control from the one before.
const TABS: usize = 40;

/// A daemon in a folder of its own; it ends when dropped.
struct Daemon {
    child: Child,
    url: String,
    folder: TempDir,
}

impl Daemon {
    fn start(environment: &[(&str, &str)]) -> Self {
        let folder = TempDir::new().unwrap();
        let state = folder.path().join("state");
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_streamgauge"))
            .env_clear()
            .env("XDG_STATE_HOME", folder.path())
            .envs(environment.iter().copied())
            .current_dir(folder.path())
            .args(["serve", "--listen", "127.0.0.1:0", "--state-dir"])
            .arg(&state)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        // Made first: whatever happens while it starts, it ends.
        let mut daemon = Self { child, url: String::new(), folder };
        let address = wait_for_file(
            &state.join("listen"),
            &mut daemon.child,
            &daemon.folder.path().join("log"),
        );
        daemon.url = format!("http://{address}");
        daemon
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn wait_for_file(file: &Path, child: &mut Child, log: &Path) -> String {
    let clock = RunClock::start();
    let deadline = clock.now() + STARTS_WITHIN_S * SECOND;
    loop {
        let text = fs::read_to_string(file).unwrap_or_default();
        if !text.trim().is_empty() {
            return text.trim().to_owned();
        }
        let ended = child.try_wait().unwrap();
        if ended.is_some() || clock.now() > deadline {
            let log = fs::read_to_string(log).unwrap_or_default();
            panic!("the daemon does not listen ({ended:?}):\n{log}");
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// One browser at a time: two would slow each other down.
fn one_at_a_time() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn picture(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("live_page");
    fs::create_dir_all(&folder).unwrap();
    folder.join(format!("{name}.png"))
}

const POINTS: &str = "Number(document.getElementById('rate-chart').dataset.points)";
const STATE: &str = "document.body.dataset.state";
const RUN: &str = "document.body.dataset.run";

fn open_page(browser: &Browser, daemon: &Daemon) {
    browser.open(&daemon.url);
    browser.wait_until(
        "the workloads are listed",
        "document.getElementById('workload').options.length",
    );
}

/// Fills the form with a small run of so many seconds.
fn fill_form(browser: &Browser, seconds: u32) {
    let choose = "const list = document.getElementById('workload'); list.value = 'smoke'; \
                  list.dispatchEvent(new Event('change'))";
    browser.run(choose, &[]);
    browser.fill("#rate", "5k/s");
    browser.fill("#duration", &format!("{seconds}s"));
}

/// Waits until a run other than `before` is over; gives its id.
fn completed(browser: &Browser, before: &str) -> String {
    let over = format!("{STATE} === 'completed' && {RUN} !== '{before}'");
    browser.wait_until("the run is over", &over);
    let run = browser.text(RUN);
    let kept = format!("document.querySelector('#history tr[data-run=\"{run}\"] input')");
    browser.wait_until("the run is in the history, with its verdict", &kept);
    run
}

#[track_caller]
fn assert_no_complaint(browser: &Browser, expected: &[&str]) {
    let lines = browser.console();
    let complaints: Vec<_> = lines
        .iter()
        .filter(|line| matches!(line.level.as_str(), "SEVERE" | "WARNING"))
        .filter(|line| !expected.iter().any(|text| line.message.contains(text)))
        .collect();
    assert!(complaints.is_empty(), "the browser complains: {complaints:#?}");
}

#[test]
fn a_run_is_started_seen_restarted_read_and_compared() {
    let _turn = one_at_a_time();
    let Some(browser) = Browser::start() else { return };
    let daemon = Daemon::start(&[]);
    open_page(&browser, &daemon);
    assert_accessible(&browser);
    assert_every_latency_has_a_line(&browser);

    fill_form(&browser, 5);
    browser.click("#start");
    browser.wait_until("the run shows", &format!("{STATE} === 'running'"));
    let first = browser.text(RUN);
    let some = browser.wait_until("the chart has points", POINTS);
    browser.wait_until("the chart moves", &format!("{POINTS} > {some}"));
    browser.screenshot(&picture("running-light"));
    browser.prefer("dark");
    browser.screenshot(&picture("running-dark"));
    browser.prefer("light");

    browser.click("#restart");
    browser
        .wait_until("another run shows", &format!("{RUN} !== '{first}' && {STATE} === 'running'"));
    browser.wait_until("its chart is its own", &format!("{POINTS} > 0 && {POINTS} < 7"));
    let second = completed(&browser, &first);
    browser.wait_until(
        "its windows show",
        "document.querySelector('#windows tr[data-exact=\"true\"]')",
    );
    let verdict = browser.text("document.getElementById('verdict').dataset.verdict");
    assert!(["pass", "inconclusive"].contains(&verdict.as_str()), "{verdict}");
    assert_no_complaint(&browser, &[]);

    read_by_keys(&browser, "#rate-chart");
    read_report(&browser, &second);
    open_page(&browser, &daemon);
    start_by_keyboard(&browser);
    let third = completed(&browser, &second);
    compare(&browser, &second, &third);
    assert_accessible(&browser);
    assert_no_complaint(&browser, &[]);

    browser.screenshot(&picture("compared-light"));
    browser.prefer("dark");
    browser.screenshot(&picture("compared-dark"));
    browser.resize(360, 740);
    browser.screenshot(&picture("phone-dark"));
    browser.prefer("light");
    browser.screenshot(&picture("phone-light"));
    let widths = browser.value("[document.documentElement.scrollWidth, innerWidth]");
    assert_eq!(widths, json!([360, 360]), "the page scrolls sideways on a phone");
    assert_no_complaint(&browser, &[]);
}

#[track_caller]
fn assert_every_latency_has_a_line(browser: &Browser) {
    let lines = "[...document.querySelectorAll('#latency-legend [data-series]')].map((button) => \
        [button.dataset.series, button.querySelector('.legend-name').textContent])";
    let expected = LatencyKind::ALL.map(|kind| json!([kind.name(), kind.label()]));
    assert_eq!(browser.value(lines), json!(expected));
    let looks = "[...document.querySelectorAll('#latency-legend .swatch')].map((line) => \
        `${line.style.color} ${line.querySelector('path').getAttribute('stroke-dasharray')}`)";
    let looks: Vec<String> = serde_json::from_value(browser.value(looks)).unwrap();
    let different: BTreeSet<_> = looks.iter().collect();
    assert_eq!(different.len(), LatencyKind::COUNT, "lines look alike: {looks:?}");
}

/// Opens the run's report in its new tab, and comes back.
fn read_report(browser: &Browser, run: &str) {
    let page =
        browser.follow_to_new_window(|browser| browser.click("#run-report a[data-form=html]"));
    let said =
        format!("document.querySelector('canvas') && document.body.innerText.includes('{run}')");
    browser.wait_until("the report names its run, and draws its charts", &said);
    let undrawn = "[...document.querySelectorAll('[data-chart]')].filter((place) => \
        !place.querySelector('[role=img][aria-label] canvas') \
        || !place.querySelector('.legend button')).map((place) => place.dataset.chart)";
    assert_eq!(browser.value(undrawn), json!([]), "charts without a drawing or a legend");
    read_by_keys(browser, "[data-chart=rate] .chart");
    browser.screenshot(&picture("report-light"));
    let colour = || browser.text("document.querySelector('.swatch').style.color");
    let light = colour();
    browser.prefer("dark");
    browser.wait_for("the lines follow the scheme", || colour() != light);
    browser.screenshot(&picture("report-dark"));
    browser.run("dispatchEvent(new Event('beforeprint'))", &[]);
    assert_eq!(colour(), light, "on paper the colours are light's");
    browser.run("dispatchEvent(new Event('afterprint'))", &[]);
    assert_ne!(colour(), light);
    browser.prefer("light");
    assert_no_complaint(browser, &[]);
    browser.close_window();
    browser.switch_to(&page);
}

/// Reads a chart's first point with the arrow keys.
fn read_by_keys(browser: &Browser, css: &str) {
    browser.run("document.querySelector(arguments[0]).focus()", &[json!(css)]);
    browser.press([RIGHT]);
    let spoken = browser.text("document.querySelector('[aria-live=polite]').textContent");
    assert!(spoken.starts_with("time 0:00, produced "), "{css}: {spoken}");
}

/// Starts a run with the keyboard alone, from the page's first link on; each stop is seen.
fn start_by_keyboard(browser: &Browser) {
    tab_to(browser, "a.skip[href='#control']");
    browser.press([ENTER]);
    browser.wait_until("the link leads there", "document.activeElement.id === 'control'");
    tab_to(browser, "#workload");
    browser.press("smoke".chars());
    tab_to(browser, "#rate");
    browser.press("5k/s".chars());
    tab_to(browser, "#duration");
    browser.press("5s".chars());
    let form = browser
        .value("['workload', 'rate', 'duration'].map((id) => document.getElementById(id).value)");
    assert_eq!(form, json!(["smoke", "5k/s", "5s"]));
    tab_to(browser, "#start");
    browser.press([ENTER]);
}

/// Presses the tabulator until the focus is there, and sees that it shows. A field's text is
/// selected on the way, so that typing replaces it.
fn tab_to(browser: &Browser, css: &str) {
    for _ in 0..TABS {
        browser.press([TAB]);
        let outline = "const at = document.activeElement; const style = getComputedStyle(at); \
            return [at.matches(arguments[0]), \
                style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 1 || \
                at.matches('.switch input'), at.outerHTML.slice(0, 120)]";
        let seen = browser.run(outline, &[json!(css)]);
        assert_eq!(seen[1], true, "no visible focus on {}", seen[2]);
        if seen[0] == true {
            return;
        }
    }
    panic!("{css} is not reached by {TABS} tabulators");
}

fn compare(browser: &Browser, base: &str, candidate: &str) {
    for run in [base, candidate] {
        browser.click(&format!("#history tr[data-run='{run}'] input"));
    }
    browser.click("#compare");
    let conclusion = browser.wait_until(
        "the comparison shows, its conclusion first",
        "document.querySelector('#comparison:not([hidden]) .conclusion')?.textContent",
    );
    assert!(!conclusion.as_str().unwrap_or_default().is_empty());
    let sides = browser.value(
        "[...document.querySelectorAll('#comparison .sides code')].map((code) => code.textContent)",
    );
    assert_eq!(sides, json!([base, candidate]), "the older is the base");
}

#[test]
fn with_a_token_the_page_asks_for_it_and_saves_reports_with_it() {
    let _turn = one_at_a_time();
    let Some(browser) = Browser::start() else { return };
    let daemon = Daemon::start(&[("STREAMGAUGE__SERVER__TOKEN", "stream-gauge-test-token")]);
    browser.open(&daemon.url);
    browser.wait_until("the token is asked for", "!document.getElementById('token-form').hidden");
    browser.wait_until("the focus is there", "document.activeElement.id === 'token'");
    browser.press("not the token".chars().chain([ENTER]));
    let refused = "document.getElementById('token-error').textContent.includes('refused')";
    browser.wait_until("a wrong one is refused", refused);
    browser.screenshot(&picture("token"));
    browser.fill("#token", "stream-gauge-test-token");
    browser.press([ENTER]);
    browser.wait_until(
        "the workloads are listed",
        "document.getElementById('workload').options.length",
    );
    let refusals = ["401 (Unauthorized)"];
    assert_no_complaint(&browser, &refusals);

    fill_form(&browser, 3);
    browser.click("#start");
    browser.wait_until("the chart moves", &format!("{POINTS} > 0"));
    let run = completed(&browser, "");
    let downloads = TempDir::new().unwrap();
    browser.save_downloads_in(downloads.path());
    browser.click("#run-report a[data-form=html]");
    let file = downloads.path().join(format!("streamgauge-{run}.html"));
    browser.wait_for("the report is saved", || file.exists());
    let page =
        browser.follow_to_new_window(|browser| browser.click("#run-report a[data-form=json]"));
    browser.wait_until("the report shows", &format!("document.body.innerText.includes('{run}')"));
    assert!(!browser.text("location.href").contains("token"));
    browser.close_window();
    browser.switch_to(&page);
    assert_no_complaint(&browser, &refusals);
    browser.open(&format!("file://{}", file.display()));
    browser.wait_until("the saved report draws its charts", "document.querySelector('canvas')");
    assert_no_complaint(&browser, &[]);
}

/// What a machine can tell of a page's accessibility.
#[track_caller]
fn assert_accessible(browser: &Browser) {
    let nameless: Vec<String> = browser
        .accessible_names(
            "a[href], button, input, select, textarea, [role=img], [role=region], [tabindex='0']",
        )
        .into_iter()
        .filter_map(|(markup, name)| name.is_empty().then_some(markup))
        .collect();
    assert!(nameless.is_empty(), "without a name: {nameless:#?}");
    let complaints = browser.run(COMPLAINTS, &[]);
    assert_eq!(complaints, Value::Array(Vec::new()), "{complaints:#}");
}

const COMPLAINTS: &str = r#"
const complaints = [];
const all = (css) => [...document.querySelectorAll(css)];
const one = (css) => {
  const found = all(css).length;
  if (found !== 1) complaints.push(`${css}: ${found}, expected one`);
};
for (const css of ["main", "body > header", "body > footer", "h1", "[aria-live=polite]"]) one(css);
if (document.documentElement.lang === "") complaints.push("the page has no language");
if (document.title === "") complaints.push("the page has no title");
const ids = all("[id]").map((node) => node.id);
for (const id of ids.filter((id, at) => ids.indexOf(id) !== at))
  complaints.push(`the id ${id} is there twice`);
for (const name of ["aria-describedby", "aria-labelledby", "aria-controls", "for"]) {
  for (const node of all(`[${name}]`)) {
    for (const id of node.getAttribute(name).split(" ")) {
      if (!node.closest("[hidden]") && document.getElementById(id) === null)
        complaints.push(`${name}=${id} leads nowhere`);
    }
  }
}
let level = 0;
for (const heading of all("h1, h2, h3, h4")) {
  const next = Number(heading.tagName[1]);
  if (next > level + 1) complaints.push(`a level is left out before “${heading.textContent}”`);
  level = next;
}
for (const node of all("[tabindex]"))
  if (node.tabIndex > 0) complaints.push(`tabindex ${node.tabIndex}`);
for (const image of all("img:not([alt])")) complaints.push(`no alt: ${image.outerHTML}`);
for (const cell of all("th:not([scope])")) complaints.push(`no scope: ${cell.outerHTML}`);
for (const link of all("a[href^='#']")) {
  if (document.querySelector(link.getAttribute("href")) === null)
    complaints.push(`${link.outerHTML} leads nowhere`);
}
return complaints;
"#;
