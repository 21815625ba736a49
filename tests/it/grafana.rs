//! The dashboards and alert rules of `grafana/` are whole: they name what exists, and show
//! everything that exists.

use std::collections::{BTreeMap, BTreeSet};
use streamgauge_support::grafana;

use grafana::{Rule, dashboards, list, metrics_in, panels, queries, rules, text, yaml};
use serde_json::{Value, json};
use streamgauge::metrics::Metrics;
use streamgauge_actors::RunClock;

/// The alerts that users build on.
const ALERTS: [&str; 10] = [
    "Down",
    "BrokerDown",
    "TargetMissed",
    "EventsLost",
    "WindowsIncorrect",
    "LagGrowing",
    "GeneratorSaturated",
    "ActorRestartLoop",
    "ThresholdFailed",
    "RunStale",
];

/// Rows and what stands in them.
fn shown(dashboard: &Value) -> impl Iterator<Item = &Value> {
    panels(dashboard).into_iter().filter(|panel| panel["type"] != "row")
}

fn assert_unique<T: Ord + std::fmt::Debug>(what: &str, values: impl IntoIterator<Item = T>) {
    let mut seen = BTreeSet::new();
    for value in values {
        assert!(!seen.contains(&value), "{what} {value:?} comes twice");
        seen.insert(value);
    }
    assert!(!seen.is_empty(), "no {what}");
}

#[test]
fn dashboards_are_where_users_look_for_them() {
    let all = dashboards();
    assert_unique("uid", all.iter().map(|(_, dashboard)| text(dashboard, "/uid")));
    let overview =
        &all.iter().find(|(_, d)| d["uid"] == "streamgauge-overview").expect("the overview").1;
    assert_eq!(overview["graphTooltip"], 1, "shared crosshair");
    assert_eq!(overview["id"], Value::Null, "Grafana gives the id");
    let rows: Vec<_> = panels(overview)
        .into_iter()
        .filter(|p| p["type"] == "row")
        .map(|p| text(p, "/title"))
        .collect();
    let expected = [
        "Verdict",
        "Throughput",
        "Latency",
        "Correctness",
        "Broker",
        "Generator self-check: is it us?",
    ];
    assert_eq!(rows, [&expected[..], &["History"]].concat());
    let annotations: Vec<_> =
        list(overview, "/annotations/list").iter().map(|a| text(a, "/name")).collect();
    assert_eq!(annotations[1..], ["Run starts", "Actor restarts"]);
}

#[test]
fn ids_are_unique() {
    for (file, dashboard) in dashboards() {
        assert_unique(
            &format!("{file}: panel id"),
            panels(&dashboard).iter().map(|p| p["id"].as_u64().unwrap()),
        );
        for panel in shown(&dashboard) {
            let what = format!("{file}: {}: refId", text(panel, "/title"));
            assert_unique(
                &what,
                list(panel, "/targets").iter().map(|target| text(target, "/refId")),
            );
        }
    }
}

#[test]
fn panels_do_not_overlap() {
    for (file, dashboard) in dashboards() {
        let mut taken: BTreeMap<(u64, u64), &str> = BTreeMap::new();
        for panel in panels(&dashboard) {
            let title = text(panel, "/title");
            let [x, y, w, h] =
                ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64().unwrap());
            assert!(w > 0 && h > 0 && x + w <= 24, "{file}: {title} leaves the grid");
            for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
                let other = taken.insert(cell, title);
                assert!(other.is_none(), "{file}: {title} lies on {other:?}");
            }
        }
    }
}

#[test]
fn every_panel_says_what_it_shows_and_in_which_unit() {
    for (file, dashboard) in dashboards() {
        for panel in shown(&dashboard) {
            let title = text(panel, "/title");
            assert!(!title.is_empty(), "{file}: a panel without a title");
            assert!(text(panel, "/description").len() > 20, "{file}: {title} has no description");
            assert!(
                !text(panel, "/fieldConfig/defaults/unit").is_empty(),
                "{file}: {title} has no unit"
            );
            if panel["type"] == "heatmap" {
                assert!(
                    !text(panel, "/options/yAxis/unit").is_empty(),
                    "{file}: {title} has no unit"
                );
            }
        }
    }
}

#[test]
fn every_data_source_is_the_variable() {
    let variable = json!({"type": "prometheus", "uid": "${datasource}"});
    for (file, dashboard) in dashboards() {
        let queried = list(&dashboard, "/templating/list").iter().filter(|v| v["type"] == "query");
        let annotations =
            list(&dashboard, "/annotations/list").iter().filter(|a| a["builtIn"] != 1);
        let targets = shown(&dashboard).flat_map(|panel| list(panel, "/targets"));
        for place in shown(&dashboard).chain(targets).chain(queried).chain(annotations) {
            assert_eq!(place["datasource"], variable, "{file}: {place}");
        }
        for panel in shown(&dashboard) {
            assert!(
                !list(panel, "/targets").is_empty(),
                "{file}: {} asks for nothing",
                text(panel, "/title")
            );
        }
    }
}

#[test]
fn every_variable_is_defined_and_every_rate_fits_the_scrape_interval() {
    for (file, dashboard) in dashboards() {
        let defined: BTreeSet<_> = list(&dashboard, "/templating/list")
            .iter()
            .map(|variable| text(variable, "/name"))
            .collect();
        for wanted in ["datasource", "broker", "workload"] {
            assert!(defined.contains(wanted), "{file}: no variable {wanted}");
        }
        for query in queries(&dashboard) {
            let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
            for used in query.expr.split('$').skip(1) {
                let name = &used[..used.find(|c| !is_word(c)).unwrap_or(used.len())];
                let known =
                    defined.contains(name) || ["__rate_interval", "__range"].contains(&name);
                assert!(known, "{file}: {}: ${name} is not defined", query.place);
            }
            for rate in
                query.expr.split("rate(").skip(1).chain(query.expr.split("increase(").skip(1))
            {
                let range = rate.split_once('[').map_or("", |(_, rest)| rest);
                assert!(
                    range.starts_with("$__rate_interval]"),
                    "{file}: {}: {}",
                    query.place,
                    query.expr
                );
            }
        }
    }
}

/// The metrics that the daemon exposes, as the series that a query can name.
fn exposed() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let threshold = "audit.events_lost == 0".to_owned();
    let metrics = Metrics::new(
        "embedded",
        &["classic".to_owned()],
        &[threshold],
        std::sync::Arc::new(RunClock::start()),
    );
    for line in metrics.render().unwrap().lines() {
        let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
        else {
            continue;
        };
        if kind == "histogram" {
            names.extend(["bucket", "sum", "count"].map(|suffix| format!("{name}_{suffix}")));
        } else {
            names.insert(name.to_owned());
        }
    }
    assert!(names.len() > 30, "{names:?}");
    names
}

/// What stands in `grafana/README.md` under "Metrics not shown", with reasons.
fn deliberately_not_shown() -> BTreeSet<String> {
    let readme = std::fs::read_to_string(grafana::folder().join("README.md")).unwrap();
    let (_, section) = readme.split_once("## Metrics not shown").expect("the section");
    let section = section.split_once("\n## ").map_or(section, |(section, _)| section);
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    rows.map(|(name, reason)| {
        assert!(reason.len() > 15, "{name}: {reason}");
        name.to_owned()
    })
    .collect()
}

#[test]
fn every_metric_that_is_named_exists_and_every_metric_that_exists_is_shown() {
    let mut exposed = exposed();
    exposed.insert("up".to_owned());
    let mut shown = BTreeSet::new();
    let mut check = |place: &str, expr: &str, is_shown: bool| {
        let names = metrics_in(expr);
        assert!(!names.is_empty(), "{place} names no metric: {expr}");
        for name in names {
            assert!(exposed.contains(&name), "{place} names {name}, which /metrics does not have");
            if is_shown {
                shown.insert(name);
            }
        }
    };
    for (file, dashboard) in dashboards() {
        for query in queries(&dashboard) {
            check(&format!("{file}: {}", query.place), &query.expr, true);
        }
        for variable in list(&dashboard, "/templating/list").iter().filter(|v| v["type"] == "query")
        {
            check(
                &format!("{file}: {}", text(variable, "/name")),
                text(variable, "/query/query"),
                false,
            );
        }
    }
    for rule in rules() {
        check(&rule.name, &rule.expr, false);
    }
    // Of a histogram, one of its three series is enough.
    let family = |name: &String| {
        let plain =
            ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix));
        plain.map_or(name.clone(), str::to_owned)
    };
    let shown: BTreeSet<String> = shown.iter().map(family).collect();
    let left_out = deliberately_not_shown();
    for name in exposed.iter().filter(|name| *name != "up").map(family) {
        let place = (shown.contains(&name), left_out.contains(&name));
        assert_ne!(
            place,
            (false, false),
            "no panel shows {name}, and grafana/README.md does not say why"
        );
        assert_ne!(
            place,
            (true, true),
            "{name} is shown, and grafana/README.md says that it is not"
        );
    }
    let families: BTreeSet<String> = exposed.iter().map(family).collect();
    let gone: Vec<_> = left_out.difference(&families).collect();
    assert!(gone.is_empty(), "grafana/README.md leaves out {gone:?}, which /metrics does not have");
}

#[test]
fn every_alert_is_there_and_says_what_to_do() {
    let rules = rules();
    let names: Vec<_> = rules.iter().map(|rule| rule.name.as_str()).collect();
    assert_eq!(names, ALERTS);
    let readme = std::fs::read_to_string(grafana::folder().join("README.md")).unwrap();
    for Rule { name, json, .. } in rules {
        assert!(
            ["critical", "warning"].contains(&text(&json, "/labels/severity")),
            "{name}: severity"
        );
        for key in ["summary", "description", "hint"] {
            assert!(text(&json, &format!("/annotations/{key}")).len() > 20, "{name}: no {key}");
        }
        assert!(readme.contains(&format!("| `{name}` |")), "{name} is not in grafana/README.md");
    }
}

#[test]
fn every_alert_is_tested_firing_and_silent() {
    let tests = yaml("alerts_test.yml");
    let mut firing = BTreeSet::new();
    let mut silent = BTreeSet::new();
    for check in list(&tests, "/tests").iter().flat_map(|test| list(test, "/promql_expr_test")) {
        let name = text(check, "/expr").split('"').nth(1).unwrap_or("all").to_owned();
        if list(check, "/exp_samples").is_empty() {
            silent.insert(name)
        } else {
            firing.insert(name)
        };
    }
    let alerts: BTreeSet<String> = ALERTS.map(str::to_owned).into();
    assert_eq!(firing, alerts);
    assert!(alerts.is_subset(&silent), "{silent:?}");
    assert!(silent.contains("all"), "a healthy daemon raises no alert at all");
}

/// `alerts.yml` as Grafana's own alerting takes it: the same expressions, which yield a series
/// exactly while they hold.
#[test]
fn grafana_has_the_same_alerts_as_prometheus() {
    let source = yaml("provisioning/datasources/streamgauge.yml")["datasources"][0]["uid"].clone();
    let file = yaml("provisioning/alerting/streamgauge.yml");
    let group = &file["groups"][0];
    assert_eq!((&group["name"], &group["orgId"]), (&json!("streamgauge"), &json!(1)));
    let theirs = list(group, "/rules");
    let all = dashboards();
    let overview =
        &all.iter().find(|(_, d)| d["uid"] == "streamgauge-overview").expect("the overview").1;
    let ours = rules();
    assert_eq!(theirs.len(), ours.len());
    assert_unique("rule uid", theirs.iter().map(|rule| text(rule, "/uid")));
    for (ours, theirs) in ours.iter().zip(theirs) {
        let name = &ours.name;
        assert_eq!(text(theirs, "/title"), name);
        let uid = text(theirs, "/uid");
        assert!(uid.len() <= 40 && uid.starts_with("streamgauge-"), "{name}: {uid}");
        assert_eq!(theirs["labels"], ours.json["labels"], "{name}");
        let wait = ours.json.get("for").cloned().unwrap_or_else(|| json!("0s"));
        assert_eq!(theirs["for"], wait, "{name}");
        assert_eq!(theirs["dashboardUid"], overview["uid"], "{name}");
        assert!(
            shown(overview).any(|panel| panel["id"] == theirs["panelId"]),
            "{name}: no such panel"
        );
        let annotations = ours.json["annotations"].as_object().unwrap();
        for (key, value) in annotations {
            let value = value.as_str().unwrap().replace("$value", "$values.A.Value");
            assert_eq!(text(theirs, &format!("/annotations/{key}")), value, "{name}");
        }
        let query = &theirs["data"][0];
        assert_eq!(text(query, "/model/expr").trim(), ours.expr, "{name}");
        assert_eq!((&query["refId"], &query["datasourceUid"]), (&json!("A"), &source), "{name}");
        assert_eq!(query["model"]["instant"], true, "{name}");
        let condition = &theirs["data"][1];
        assert_eq!(
            (&theirs["condition"], &condition["refId"]),
            (&json!("B"), &json!("B")),
            "{name}"
        );
        assert_eq!(condition["datasourceUid"], "__expr__", "{name}");
        assert_eq!(text(condition, "/model/type"), "math", "{name}");
        // Whatever the value is (0 for `up`): that there is one is what matters.
        assert_eq!(text(condition, "/model/expression"), "is_number($A)", "{name}");
        assert_eq!(text(theirs, "/noDataState"), "OK", "{name}: no series is no alert");
    }
}

#[test]
fn provisioning_points_at_the_files() {
    let provider = &yaml("provisioning/dashboards/streamgauge.yml")["providers"][0];
    assert_eq!(text(provider, "/options/path"), "/var/lib/grafana/dashboards");
    let readme = std::fs::read_to_string(grafana::folder().join("README.md")).unwrap();
    assert!(readme.contains("/var/lib/grafana/dashboards"));
    let source = &yaml("provisioning/datasources/streamgauge.yml")["datasources"][0];
    assert_eq!(
        (text(source, "/type"), text(source, "/uid")),
        ("prometheus", "streamgauge-prometheus")
    );
    let prometheus = yaml("prometheus.yml");
    let scrape = text(&prometheus, "/global/scrape_interval");
    assert_eq!(
        text(source, "/jsonData/timeInterval"),
        scrape,
        "what $__rate_interval is made from"
    );
    assert_eq!(prometheus["rule_files"], json!(["alerts.yml"]));
    assert_eq!(text(&prometheus, "/scrape_configs/0/job_name"), "streamgauge");
    assert_eq!(
        prometheus["scrape_configs"][0]["static_configs"][0]["targets"],
        json!(["127.0.0.1:9464"])
    );
}
