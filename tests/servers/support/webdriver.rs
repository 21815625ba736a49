//! A real browser for tests: headless Chromium, driven through chromedriver by the WebDriver
//! protocol (W3C) over plain HTTP.
//!
//! Where `chromium` or `chromedriver` is not on the machine the test is skipped, and says so; with
//! `STREAMGAUGE_REQUIRE_CHROMIUM=1` it fails. Nothing stays behind: the browser ends with its
//! value.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use streamgauge_actors::{Clock as _, RunClock, SECOND};

/// How long anything may take that a test waits for.
const DEADLINE_S: i64 = 30;
/// How long one answer of chromedriver may take: it starts a browser.
const ANSWER: Duration = Duration::from_mins(1);
/// How often a condition is looked at again.
const LOOK: Duration = Duration::from_millis(50);

pub(crate) const TAB: char = '\u{E004}';
pub(crate) const RIGHT: char = '\u{E014}';
pub(crate) const ENTER: char = '\u{E007}';

/// The key of an element reference, by the protocol.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A browser with one window; it ends when dropped.
pub(crate) struct Browser {
    driver: Child,
    agent: ureq::Agent,
    session: String,
    clock: RunClock,
}

/// What a page wrote to the browser's console.
#[derive(Debug)]
pub(crate) struct ConsoleLine {
    pub level: String,
    pub message: String,
}

impl Browser {
    /// Starts one; `None` after saying that the test is skipped, and why.
    pub(crate) fn start() -> Option<Self> {
        match missing() {
            None => Some(Self::launch()),
            Some(why) => {
                let required =
                    std::env::var("STREAMGAUGE_REQUIRE_CHROMIUM").is_ok_and(|value| value == "1");
                assert!(!required, "STREAMGAUGE_REQUIRE_CHROMIUM=1, but {why}");
                eprintln!("SKIPPED: this test needs a browser: {why}");
                None
            }
        }
    }

    fn launch() -> Self {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver starts");
        let port = port_of(&mut driver);
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(ANSWER))
            .proxy(None)
            .build()
            .new_agent();
        let mut browser = Self { driver, agent, session: String::new(), clock: RunClock::start() };
        let url = format!("http://127.0.0.1:{port}/session");
        let answer = browser.send("POST", &url, Some(&capabilities()));
        let id = answer["sessionId"].as_str().unwrap_or_else(|| panic!("no session: {answer}"));
        browser.session = format!("{url}/{id}");
        browser
    }

    /// One command of the protocol; what it gives.
    fn send(&self, method: &str, url: &str, body: Option<&Value>) -> Value {
        let answer = match (method, body) {
            ("POST", Some(body)) => self.agent.post(url).send_json(body),
            ("DELETE", _) => self.agent.delete(url).call(),
            _ => self.agent.get(url).call(),
        };
        let mut answer = answer.unwrap_or_else(|error| panic!("{method} {url}: {error}"));
        let status = answer.status();
        let text = answer
            .body_mut()
            .read_to_string()
            .unwrap_or_else(|error| panic!("{method} {url}: {error}"));
        let mut value: Value = serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("{method} {url}: {error}: {text}"));
        assert!(status.is_success(), "{method} {url}: {status}: {}", value["value"]["message"]);
        value["value"].take()
    }

    fn get(&self, path: &str) -> Value {
        self.send("GET", &format!("{}{path}", self.session), None)
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        self.send("POST", &format!("{}{path}", self.session), Some(body))
    }

    /// A command of Chromium's own protocol.
    pub(crate) fn devtools(&self, command: &str, parameters: &Value) -> Value {
        self.post("/goog/cdp/execute", &json!({"cmd": command, "params": parameters}))
    }

    pub(crate) fn open(&self, url: &str) {
        self.post("/url", &json!({"url": url}));
    }

    /// What a script gives; its arguments are `arguments`.
    pub(crate) fn run(&self, script: &str, arguments: &[Value]) -> Value {
        self.post("/execute/sync", &json!({"script": script, "args": arguments}))
    }

    /// What an expression gives.
    pub(crate) fn value(&self, expression: &str) -> Value {
        self.run(&format!("return ({expression})"), &[])
    }

    /// The text that an expression gives; empty for `null`.
    pub(crate) fn text(&self, expression: &str) -> String {
        match self.value(expression) {
            Value::String(text) => text,
            Value::Null => String::new(),
            other => other.to_string(),
        }
    }

    /// Waits until an expression is true, and gives its value.
    #[track_caller]
    pub(crate) fn wait_until(&self, what: &str, expression: &str) -> Value {
        let deadline = self.clock.now() + DEADLINE_S * SECOND;
        loop {
            let value = self.value(expression);
            if !matches!(&value, Value::Null | Value::Bool(false))
                && value != json!(0)
                && value != json!("")
            {
                return value;
            }
            if self.clock.now() > deadline {
                let page = self.text("document.body.innerText");
                panic!("not within {DEADLINE_S} s: {what} ({expression}); the page says:\n{page}");
            }
            thread::sleep(LOOK);
        }
    }

    /// Waits until something beside the page has come true.
    #[track_caller]
    pub(crate) fn wait_for(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let deadline = self.clock.now() + DEADLINE_S * SECOND;
        while !is_so() {
            assert!(self.clock.now() < deadline, "not within {DEADLINE_S} s: {what}");
            thread::sleep(LOOK);
        }
    }

    /// Saves files in this folder without asking.
    pub(crate) fn save_downloads_in(&self, folder: &Path) {
        let behaviour = json!({"behavior": "allow", "downloadPath": folder});
        self.devtools("Browser.setDownloadBehavior", &behaviour);
    }

    fn element(&self, css: &str) -> String {
        let found = self.post("/element", &json!({"using": "css selector", "value": css}));
        found[ELEMENT].as_str().unwrap_or_else(|| panic!("no element {css}: {found}")).to_owned()
    }

    /// Clicks as a person does: the element is scrolled to, and must not be covered.
    pub(crate) fn click(&self, css: &str) {
        self.post(&format!("/element/{}/click", self.element(css)), &json!({}));
    }

    /// Replaces what a field holds.
    pub(crate) fn fill(&self, css: &str, text: &str) {
        let element = self.element(css);
        self.post(&format!("/element/{element}/clear"), &json!({}));
        self.post(&format!("/element/{element}/value"), &json!({"text": text}));
    }

    /// Presses keys one after the other, wherever the focus is.
    pub(crate) fn press(&self, keys: impl IntoIterator<Item = char>) {
        let each = |key: char| {
            [
                json!({"type": "keyDown", "value": key.to_string()}),
                json!({"type": "keyUp", "value": key.to_string()}),
            ]
        };
        let actions: Vec<Value> = keys.into_iter().flat_map(each).collect();
        self.post(
            "/actions",
            &json!({"actions": [{"type": "key", "id": "keyboard", "actions": actions}]}),
        );
    }

    /// The names that Chromium tells screen readers, of all visible elements that `css` selects:
    /// (markup, name).
    pub(crate) fn accessible_names(&self, css: &str) -> Vec<(String, String)> {
        let found = self.post("/elements", &json!({"using": "css selector", "value": css}));
        let elements = found.as_array().cloned().unwrap_or_default();
        let shown = elements.iter().filter(|element| {
            self.run("return arguments[0].checkVisibility()", &[(*element).clone()]) == true
        });
        shown
            .map(|element| {
                let id = element[ELEMENT].as_str().unwrap_or_default();
                let markup = self.run(
                    "return arguments[0].cloneNode(false).outerHTML",
                    std::slice::from_ref(element),
                );
                let name = self.get(&format!("/element/{id}/computedlabel"));
                (
                    markup.as_str().unwrap_or_default().to_owned(),
                    name.as_str().unwrap_or_default().trim().to_owned(),
                )
            })
            .collect()
    }

    /// The windows (tabs) that are open.
    pub(crate) fn windows(&self) -> Vec<String> {
        let handles = self.get("/window/handles");
        handles
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect()
    }

    pub(crate) fn switch_to(&self, window: &str) {
        self.post("/window", &json!({"handle": window}));
    }

    /// Closes the present window.
    pub(crate) fn close_window(&self) {
        self.send("DELETE", &format!("{}/window", self.session), None);
    }

    /// Does something that opens a window, and goes there; gives the window left behind.
    #[track_caller]
    pub(crate) fn follow_to_new_window(&self, act: impl FnOnce(&Self)) -> String {
        let before = self.windows();
        let here = self.get("/window").as_str().expect("a window").to_owned();
        act(self);
        let mut new = None;
        self.wait_for("a window opens", || {
            new = self.windows().into_iter().find(|window| !before.contains(window));
            new.is_some()
        });
        self.switch_to(&new.unwrap_or_default());
        here
    }

    /// As on a screen of this width; narrow ones are phones.
    pub(crate) fn resize(&self, width: u32, height: u32) {
        let metrics = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600,
        });
        self.devtools("Emulation.setDeviceMetricsOverride", &metrics);
    }

    /// As for a person who prefers `light` or `dark`.
    pub(crate) fn prefer(&self, scheme: &str) {
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.devtools("Emulation.setEmulatedMedia", &features);
    }

    /// Writes a picture of the whole page to a PNG file.
    pub(crate) fn screenshot(&self, file: &Path) {
        let shot = self.devtools("Page.captureScreenshot", &json!({"captureBeyondViewport": true}));
        let picture = BASE64.decode(shot["data"].as_str().expect("a picture")).expect("base64");
        fs::write(file, picture).expect("the picture can be written");
    }

    /// What pages wrote to the console since the last look; errors of the network too.
    pub(crate) fn console(&self) -> Vec<ConsoleLine> {
        let lines = self.post("/se/log", &json!({"type": "browser"}));
        let text = |line: &Value, key: &str| line[key].as_str().unwrap_or_default().to_owned();
        let lines = lines.as_array().into_iter().flatten();
        lines
            .map(|line| ConsoleLine { level: text(line, "level"), message: text(line, "message") })
            .collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Ends Chromium and removes its profile; chromedriver alone would leave both.
        if !self.session.is_empty() {
            let _ = self.agent.delete(&self.session).call();
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// What is not there to drive a browser with.
fn missing() -> Option<String> {
    let absent = |program: &&str| {
        let ran = Command::new(program)
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        !ran.is_ok_and(|status| status.success())
    };
    let absent: Vec<&str> = ["chromium", "chromedriver"].into_iter().filter(absent).collect();
    (!absent.is_empty()).then(|| {
        format!("there is no `{}` (Debian: chromium, chromium-driver)", absent.join("` and no `"))
    })
}

/// The port that chromedriver says it listens on.
fn port_of(driver: &mut Child) -> u16 {
    let output = driver.stdout.take().expect("piped");
    let mut lines = BufReader::new(output).lines();
    let port = lines.by_ref().map_while(Result::ok).find_map(|line| {
        let (_, port) = line.split_once("started successfully on port ")?;
        port.trim_end_matches('.').parse().ok()
    });
    // It must never wait for somebody to read what it writes.
    thread::spawn(move || lines.for_each(drop));
    port.expect("chromedriver names its port")
}

fn capabilities() -> Value {
    let arguments = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--hide-scrollbars",
        "--window-size=1280,1000",
    ];
    json!({"capabilities": {"alwaysMatch": {
        "browserName": "chrome",
        "goog:loggingPrefs": {"browser": "ALL"},
        "goog:chromeOptions": {"args": arguments},
    }}})
}
